/** A consumer that takes its time: neither the page nor the server grows. */
import t from 'tap'
import { held } from './held.ts'
import { connect, stage } from './stage.ts'

for (const transport of ['sse', 'websocket', 'long-poll'] as const) {
  t.test(`${transport}: 20 ms an event, 30 MB to read`, async t => {
    const url = await stage(t)
    const client = connect(t, url, { transport })
    const session = client.session()
    await session.run('playback', { count: 500, rate: 0, bytes: 60_000 }).done
    const received = client.quality.current.bytes
    const before = held()
    let most = 0
    let seen = 0
    for await (const event of session.events({ replay: 'full' })) {
      if (event.type !== 'text.delta') continue
      await new Promise(resolve => setTimeout(resolve, 20))
      seen += 1
      if (seen % 25 === 0) most = Math.max(most, held() - before)
      if (seen === 150) break
    }
    const taken = client.quality.current.bytes - received
    t.comment(
      `${(taken / 1e6).toFixed(1)} MB taken in for ${seen * 0.06} MB consumed; grew by ${(most / 1e6).toFixed(1)} MB`,
    )
    t.ok(taken < 12e6, `took in ${taken} bytes`)
    t.ok(most < 6e6, `grew by ${most} bytes`)
  })
}
