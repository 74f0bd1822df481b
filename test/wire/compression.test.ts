/** Streams compressed once for all: any client decodes them, event by event as they come. */
import { spawn } from 'node:child_process'
import t, { type Test } from 'tap'
import { isInstalled } from '../fixtures/redis-server.ts'
import { openWs } from '../fixtures/wire-clients.ts'
import { createSession, logged, serve, type Wire } from '../fixtures/wire-server.ts'

/** What a client has decoded: the JSON of each event. */
class Decoded {
  readonly events: string[] = []
  #line = ''
  #told = () => {}

  /** Text of an event stream, cut anywhere. */
  text(text: string): void {
    const lines = (this.#line + text).split('\n')
    this.#line = lines.pop() as string
    for (const line of lines) if (line.startsWith('data: {"offset"')) this.event(line.slice('data: '.length))
  }

  event(json: string): void {
    this.events.push(json)
    this.#told()
  }

  async has(count: number): Promise<void> {
    while (this.events.length < count) {
      await new Promise<void>(resolve => {
        this.#told = resolve
      })
    }
  }
}

type Client = (t: Test, wire: Wire) => Promise<Decoded>

const events = ({ url }: Wire) => `${url}/v1/sessions/s/events?replay=full`

const fetches: Client = async (t, wire) => {
  const decoded = new Decoded()
  const abort = new AbortController()
  t.teardown(() => abort.abort())
  const headers = { accept: 'text/event-stream', 'accept-encoding': 'gzip' }
  const response = await fetch(events(wire), { headers, signal: abort.signal })
  t.equal(response.headers.get('content-encoding'), 'gzip')
  const read = async () => {
    const text = new TextDecoder()
    for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
      decoded.text(text.decode(bytes, { stream: true }))
    }
  }
  read().catch(() => {})
  return decoded
}

const curls: Client = async (t, wire) => {
  const decoded = new Decoded()
  const curl = spawn('curl', ['-sN', '--compressed', '-H', 'accept: text/event-stream', events(wire)])
  t.teardown(() => curl.kill())
  curl.stdout.setEncoding('utf8').on('data', text => decoded.text(text))
  return decoded
}

const sockets: Client = async (t, { url }) => {
  const decoded = new Decoded()
  const client = await openWs(t, url, { perMessageDeflate: true })
  t.match(client.socket.extensions, /permessage-deflate/)
  client.socket.on('message', data => {
    for (const json of String(data).split('\n')) if (json.startsWith('{"offset"')) decoded.event(json)
  })
  client.send({ type: 'subscribe', id: '1', sessionId: 's', replay: 'full' })
  return decoded
}

const clients: Record<string, Client> = {
  fetch: fetches,
  ...(isInstalled('curl') && { 'curl --compressed -N': curls }),
  ws: sockets,
}

for (const [name, client] of Object.entries(clients)) {
  t.test(`${name} decodes each event before the next is made, also while others join`, async t => {
    const wire = await serve(t, { compression: true, heartbeatMs: 300 })
    await createSession(wire.url, 's')
    const first = await client(t, wire)
    const others: Decoded[] = []
    for (let n = 1; n <= 60; n++) {
      // Who joins gets bytes of its own, and has not seen what the others may be referred to.
      if (n % 20 === 0) others.push(await client(t, wire))
      await wire.server.journal.append('s', [
        { type: 'x.said', data: { n, text: `the same words again, ${n}` } },
      ])
      await first.has(n)
    }
    const expected = await logged(wire, 's')
    for (const decoded of [first, ...others]) {
      await decoded.has(60)
      t.same(decoded.events, expected)
    }
  })
}

t.test('clients that do not ask for compression get plain bytes', async t => {
  const wire = await serve(t, { compression: true })
  await createSession(wire.url, 's')
  const compressed = await fetches(t, wire)
  const abort = new AbortController()
  t.teardown(() => abort.abort())
  const headers = { accept: 'text/event-stream', 'accept-encoding': 'identity' }
  const plain = await fetch(events(wire), { headers, signal: abort.signal })
  t.equal(plain.headers.get('content-encoding'), null)
  const client = await openWs(t, wire.url)
  t.equal(client.socket.extensions, '')
  await wire.server.journal.append('s', [{ type: 'x.said', data: 'both' }])
  await compressed.has(1)
  let text = ''
  for await (const bytes of plain.body as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(bytes).toString()
    if (text.includes(compressed.events[0] as string)) break
  }
  t.pass('the same event')
})
