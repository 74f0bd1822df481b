/** Bodies of HTTP/2 requests that wait for their start: they count as arriving, and are refused above its limit. */
import { once } from 'node:events'
import { constants } from 'node:http2'
import t, { type Test } from 'tap'
import { Answers } from '../../src/http/answers.ts'
import { Arriving } from '../../src/http/arriving.ts'
import { connectionDefaults } from '../../src/http/limits.ts'
import { createHttpServer } from '../../src/http/server.ts'
import { Turnstile } from '../../src/http/turnstile.ts'
import { openHttp2, tls } from '../fixtures/raw-http.ts'
import { eventually } from '../fixtures/wire-server.ts'

const WINDOW_BYTES = 65_535

/** A turnstile that lets nobody pass until it is opened, as one does while many others are before them. */
class Shut extends Turnstile {
  readonly #starts: (() => void)[] = []

  override pass(_heavy: boolean, start: () => void): void {
    this.#starts.push(start)
  }

  open(): void {
    for (const start of this.#starts.splice(0)) start()
  }
}

async function listen(t: Test, limit: number) {
  const turnstile = new Shut()
  const arriving = new Arriving(limit)
  const answers = new Answers({ ...connectionDefaults, stallMs: 30_000 }, turnstile, arriving)
  const server = createHttpServer(
    answers.listener((request, response) => request.on('end', () => response.end('done')).resume()),
    connectionDefaults,
    tls,
  )
  t.teardown(() => server.close())
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const session = await openHttp2(t, `https://127.0.0.1:${port}`)
  const post = (headers: object = {}) => {
    const stream = session.request({ ':method': 'POST', ':path': '/v1/sessions', ...headers })
    stream.on('error', () => {})
    return stream
  }
  return { turnstile, arriving, session, post }
}

t.test('the oldest is refused when too much arrives, and the others are answered', async t => {
  const { turnstile, arriving, post } = await listen(t, 2 * WINDOW_BYTES)
  const oldest = post()
  oldest.write('x'.repeat(60_000))
  const refused = new Promise(resolve => oldest.once('close', resolve))
  await eventually(t, 'it counts with what may come', () => arriving.bytes === WINDOW_BYTES)
  const others = [post(), post()]
  for (const other of others) other.end('{}')
  await refused
  t.equal(oldest.rstCode, constants.NGHTTP2_REFUSED_STREAM)
  t.equal(arriving.bytes, 2 * WINDOW_BYTES)
  const ends = others.map(async other => {
    const [{ ':status': status }] = await once(other, 'response')
    t.equal(status, 200)
    await once(other.resume(), 'close')
  })
  turnstile.open()
  await Promise.all(ends)
  t.equal(arriving.bytes, 0, 'what is started is counted as it is read')
})

t.test('a body counts with its length, a request without one not at all', async t => {
  const { turnstile, arriving, session, post } = await listen(t, 1000)
  const get = session.request({ ':path': '/v1/agents' }).resume()
  const small = post({ 'content-length': '600' })
  await eventually(t, 'both have come', () => arriving.bytes === 600)
  small.close(constants.NGHTTP2_CANCEL)
  await eventually(t, 'the client has left', () => arriving.bytes === 0)
  turnstile.open()
  await once(get, 'close')
  t.equal(get.rstCode, 0)
})
