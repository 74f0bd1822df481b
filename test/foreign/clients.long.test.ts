/** Clients by others follow a run over connections that are cut at every byte of an event's frame. */
import t from 'tap'
import { ingest, logged, serve } from '../fixtures/wire-server.ts'
import { clients, missing } from './clients.ts'
import { cuttingProxy } from './cutting-proxy.ts'

const EVENTS = 3000

/** So many events stand before the run that all its offsets have as many digits, and frames of a kind one length. */
const BEFORE = 1000

/** Events with an even number are plain ASCII, the others have characters of two to four bytes. */
const text = (number: number) => (number % 2 === 0 ? 'The quick brown fox' : 'äé漢字😀👩‍💻')

const event = (number: number) => ({ type: 'x.n', runId: 'r', data: { text: text(number) } })

const frames = {
  sse: { frame: /data: \{"offset":"\d+-(\d+)"/, bytes: (json: string) => sseFrame(json) },
  websocket: { frame: /\{"offset":"\d+-(\d+)"/, bytes: (json: string) => Buffer.byteLength(json) },
}

function sseFrame(json: string): number {
  const { offset } = JSON.parse(json) as { offset: string }
  return Buffer.byteLength(`data: ${json}\nid: ${offset}\n\n`)
}

t.test('each event once and in order, though connections are cut at every byte of a frame', async t => {
  const wire = await serve(t)
  const ended = new AbortController()
  const { signal } = ended
  t.teardown(() => ended.abort())
  const { url } = wire
  await ingest(
    url,
    's',
    Array.from({ length: BEFORE }, () => ({ type: 'x.before', data: null })),
  )
  const started = { type: 'run.started', runId: 'r', data: { agent: 'a', input: null } }
  const first = Array.from({ length: EVENTS / 2 - 1 }, (_, i) => event(BEFORE + 2 + i))
  await ingest(url, 's', [started, ...first])
  const samples = (await logged(wire, 's')).slice(-2).reverse()
  const even = samples.find(json => json.includes(text(0))) as string
  const odd = samples.find(json => json.includes(text(1))) as string
  t.ok(even && odd, 'events of both kinds')

  const followed = Object.entries(clients).map(async ([name, client]) => {
    const skip = missing(client)
    if (skip !== false) return { name, skip }
    const { frame, bytes } = frames[client.transport]
    const cuts = [even, odd].flatMap((json, parity) =>
      Array.from({ length: bytes(json) + 1 }, (_, after) => ({ parity: parity as 0 | 1, after })).filter(
        ({ after }) => !(client.takesIdEarly && after === bytes(json) - 1),
      ),
    )
    const proxy = await cuttingProxy(t, url, { frame, cuts, pass: 4 })
    const seen = await client.follow({ url: proxy.url, sessionId: 's', runId: 'r', signal })
    return { name, seen, made: proxy.made(), planned: cuts.length }
  })
  // The second half comes while they follow.
  for (let next = EVENTS / 2; next < EVENTS - 1; ) {
    const batch = Array.from({ length: Math.min(10, EVENTS - 1 - next) }, (_, i) =>
      event(BEFORE + 1 + next + i),
    )
    await ingest(url, 's', batch)
    next += batch.length
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  await ingest(url, 's', { type: 'run.completed', runId: 'r', data: {} })
  const wanted = (await logged(wire, 's')).slice(BEFORE)
  t.equal(wanted.length, EVENTS)
  for (const { name, skip = false, seen, made, planned } of await Promise.all(followed)) {
    t.test(name, { skip }, async t => {
      t.strictSame(seen, wanted, 'each event once, in order')
      t.equal(made, planned, `cut at each of ${planned} places`)
    })
  }
})
