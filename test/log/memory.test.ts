import t from 'tap'
import { limitedContract, logContract } from '../../src/log/contract/index.ts'
import { texts } from '../../src/log/contract/setting.ts'
import { createMemoryLog } from '../../src/log/memory.ts'

logContract(t, 'memory', (_, options) => createMemoryLog(options))

limitedContract(t, 'memory', (_, { clock, roomBytes }) => createMemoryLog({ clock, maxLogBytes: roomBytes }))

t.test('the size goes back to nothing with the last session', async t => {
  let now = 1000
  const log = createMemoryLog({ clock: () => now })
  t.same(await log.size?.(), { bytes: 0, maxBytes: Number.POSITIVE_INFINITY })
  const { session } = await log.create('s', { title: 'x'.repeat(1000) })
  const keys = Array.from({ length: 2000 }, (_, i) => ({ key: `k${i}`, note: { i }, ttlMs: 10 }))
  await log.append('s', texts(1, 100), { once: keys })
  now += 10
  await log.append('s', texts(1, 100), { once: keys })
  const { bytes } = (await log.size?.())!
  t.ok(bytes > 200_000, `${bytes}`)
  await log.trim('s', session.epoch, 150, { seq: 150, state: {} })
  t.ok((await log.size?.())!.bytes < bytes - 10_000)
  await log.delete('s')
  t.match(await log.size?.(), { bytes: 0 })
})
