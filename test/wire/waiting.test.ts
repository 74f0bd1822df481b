/** Commands that wait on a WebSocket: for earlier ones of their session, or for what their principal may send. */
import t from 'tap'
import type { EventLog } from '../../src/log/log.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { TwinrailError } from '../../src/protocol/index.ts'
import { openWs } from '../fixtures/wire-clients.ts'
import { agents, byHeader, createSession, headOf, serve } from '../fixtures/wire-server.ts'

const publish = (sessionId: string) => ({ type: 'publish', sessionId, event: { type: 'x.n', data: 1 } })

const start = { type: 'run.start', sessionId: 's', agent: 'idle', input: {} }

for (const [what, commands] of Object.entries({
  publishes: [publish('s'), publish('s'), publish('s')],
  'run starts': [start, start, start],
  'run starts and publishes': [publish('s'), start, publish('s'), start, start],
})) {
  t.test(`${what} that wait behind a command whose log is away fail with it`, async t => {
    const memory = createMemoryLog()
    let away = false
    let came: (fail: (error: Error) => void) => void = () => {}
    const first = new Promise<(error: Error) => void>(resolve => {
      came = resolve
    })
    const append: EventLog['append'] = (...args) =>
      away ? new Promise((_, reject) => came(reject)) : memory.append(...args)
    const { url } = await serve(t, { agents, log: { ...memory, append } })
    for (const id of ['s', 'other']) await createSession(url, id)
    const socket = await openWs(t, url)
    const before = await headOf(url, 's')
    away = true
    const answers = commands.map(command => socket.command(command))
    const fail = await first
    away = false
    t.match(await socket.command(publish('other')), { type: 'ack' }, 'another session goes on')
    fail(new TwinrailError('unavailable', 'the log is away', { retryAfterMs: 1000 }))
    const wanted = { type: 'nack', code: 'unavailable', retryable: true, retryAfterMs: 1000 }
    for (const answer of await Promise.all(answers)) t.match(answer, wanted)
    t.equal(await headOf(url, 's'), before, 'none was executed')
    t.match(await socket.command(publish('s')), { type: 'ack' }, 'later ones are')
  })
}

t.test('what is refused as too much waits for nothing and asks nobody', async t => {
  let asked = 0
  const { url } = await serve(t, {
    authorize: (...args) => {
      asked++
      return byHeader(...args)
    },
    principalLimits: { commandBurst: 5, commandsPerSecond: 0.001 },
  })
  const socket = await openWs(t, url)
  const before = asked
  const answers = await Promise.all(Array.from({ length: 20 }, () => socket.command(publish('s'))))
  t.equal(answers.filter(({ type }) => type === 'ack').length, 5, 'also of commands that come together')
  const refused = answers.filter(({ code }) => code === 'rate-limited')
  t.equal(refused.length, 15)
  t.match(refused[0], { retryable: true, details: { limit: 'commands', of: 'principal' } })
  t.ok(Number(refused[0]?.['retryAfterMs']) > 0)
  t.equal(asked - before, 5)
  t.match(await socket.command({ type: 'publish', sessionId: 's' }), { code: 'rate-limited' })
  t.match(await socket.command({ type: 'subscribe', sessionId: 's' }), { type: 'ack' }, 'reading goes on')
})

t.test('commands of the wrong shape count as well', async t => {
  const principalLimits = { commandBurst: 2, commandsPerSecond: 0.001 }
  const { url } = await serve(t, { authorize: byHeader, principalLimits })
  const socket = await openWs(t, url)
  const wrong = { type: 'publish', sessionId: 's' }
  for (const code of ['bad-request', 'bad-request', 'rate-limited']) {
    t.match(await socket.command(wrong), { type: 'nack', code })
  }
})
