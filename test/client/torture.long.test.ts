/** Fifty clients on all transports through a proxy that cuts, stalls, freezes, splits, delays and buffers. */
import t from 'tap'
import { type Client, ClientError, type SessionEvent } from '../../client/index.ts'
import { random, seedOf } from '../../src/log/contract/random.ts'
import { chaosProxy } from './chaos-proxy.ts'
import { collect, connect, stage } from './stage.ts'

const EVENTS = Number(process.env['TORTURE_EVENTS'] ?? 5000)
const CLIENTS = 50
const transports = ['sse', 'websocket', 'long-poll', 'auto'] as const

interface Heard {
  text: string
  /** The last offset's number; every number up to it was heard once. */
  seq: number
  faults: string[]
}

/** Follows the session until the run's terminal. */
async function listen(client: Client, replay: 'full' | 'compact'): Promise<Heard> {
  const heard: Heard = { text: '', seq: 0, faults: [] }
  const events = client.session('torture').events({ replay, heartbeatMs: 1000 })
  for await (const event of events as AsyncIterable<SessionEvent>) {
    if (event.type === 'gap' || event.type === 'reset') heard.faults.push(event.type)
    if (!event.type.includes('.')) continue
    const { offset, from = offset } = event as { offset: string; from?: string }
    if (seqOf(from) !== heard.seq + 1) heard.faults.push(`${from} after ${heard.seq}`)
    heard.seq = seqOf(offset)
    if (event.type === 'text.delta') heard.text += event.data.delta
    if (event.type === 'run.completed') return heard
  }
  heard.faults.push('ended early')
  return heard
}

const seqOf = (offset: string) => Number(offset.split('-')[1])

t.test('every client ends with exactly the log’s text, every offset once; the run started once', async t => {
  const next = random(seedOf(t))
  const url = await stage(t)
  const proxy = await chaosProxy(t, url, next)
  await connect(t, url).session('torture').create()
  const began = Date.now()
  const input = { count: EVENTS, rate: 1500, seed: 11 }
  const clients = Array.from({ length: CLIENTS }, (_, i) =>
    connect(t, proxy.url, {
      transport: transports[i % transports.length]!,
      backoff: { baseMs: 5, capMs: 100 },
    }),
  )
  const heard = clients.map((client, i) => listen(client, i % 8 < 4 ? 'full' : 'compact'))
  // A command gives up after five attempts. The proxy holds up about a third of them, so that some clients need more.
  const start = async (client: Client): Promise<void> => {
    try {
      await client.session('torture').run('playback', input, { runId: 'one' }).started
    } catch (error) {
      if (!(error instanceof ClientError && error.retryable)) throw error
      await start(client)
    }
  }
  await Promise.all(clients.map(start))
  const results = await Promise.all(heard)

  const direct = connect(t, url, { transport: 'sse' })
  const log = await collect(direct.session('torture').events({ run: 'one', replay: 'full' }))
  const text = log.map(event => (event.type === 'text.delta' ? event.data.delta : '')).join('')
  t.equal(log.filter(event => event.type === 'text.delta').length, EVENTS)
  t.equal(log.filter(event => event.type === 'run.started').length, 1)
  t.equal((await direct.session('torture').state()).runs.length, 1)
  for (const [i, { text: own, faults, seq }] of results.entries()) {
    const name = `client ${i} on ${transports[i % transports.length]}`
    t.same(faults, [], name)
    t.ok(own === text, `${name} has the text`)
    t.equal(seq, EVENTS + 4, name)
  }
  const reconnects = clients.map(client => client.quality.current.reconnects)
  t.comment(
    `${(Date.now() - began) / 1000} s, ${JSON.stringify(proxy.counts)}, ${reconnects.reduce((a, b) => a + b)} reconnects`,
  )
  t.ok(proxy.counts.cut > EVENTS / 25, 'the proxy did its work')
})
