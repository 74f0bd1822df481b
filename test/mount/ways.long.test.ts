/** However a server is mounted, it answers below its prefix as a server of its own does, and nowhere else. */
import { request as requestHttp } from 'node:http'
import { constants } from 'node:http2'
import { request as requestHttps } from 'node:https'
import t from 'tap'
import { WebSocket } from 'ws'
import { ways } from '../fixtures/mounts.ts'
import { openHttp2, openRaw, tls } from '../fixtures/raw-http.ts'
import { eventually, serve } from '../fixtures/wire-server.ts'

interface Sent {
  method: string
  path: string
  headers?: Record<string, string>
  body?: unknown
}

interface Answer {
  status: number
  type: string
  text: string
}

/** One request. Of a stream only the first message is read. */
function ask(url: string, { method, path, headers = {}, body }: Sent): Promise<Answer> {
  const send = url.startsWith('https') ? requestHttps : requestHttp
  const json = body === undefined ? {} : { 'content-type': 'application/json' }
  return new Promise((resolve, reject) => {
    const sent = send(`${url}${path}`, {
      method,
      headers: { ...json, ...headers },
      agent: false,
      ca: tls.cert,
    })
    sent.on('response', response => {
      const { statusCode: status = 0, headers } = response
      const type = String(headers['content-type'] ?? '')
      let text = ''
      response.setEncoding('utf8').on('data', part => {
        text += part
        if (type.startsWith('text/event-stream') && text.includes('\n\n')) response.destroy()
      })
      response.on('close', () =>
        resolve({
          status,
          type,
          text: type.startsWith('text/event-stream') ? (text.split('\n\n')[0] ?? '') : text,
        }),
      )
      response.on('error', () => {})
    })
    sent.on('error', reject).end(body === undefined ? undefined : JSON.stringify(body))
  })
}

const bodies: Record<string, unknown> = {
  'POST /v1/sessions': { sessionId: 'made' },
  'PATCH /v1/sessions/:sessionId': { metadata: { a: 1 } },
  'PUT /v1/sessions/:sessionId/presence': { memberId: 'm' },
  'POST /v1/tickets': {},
  'POST /v1/revocations': { principal: 'ann' },
  'POST /v1/sessions/:sessionId/commands': {
    id: '1',
    type: 'publish',
    event: { type: 'x.a', data: 1 },
  },
  'POST /v1/sessions/:sessionId/events': { type: 'x.a', data: 1 },
}

/** What differs from server to server: ids, times, the prefix in a hint, the names of files with hashes. */
const alike = ({ status, type, text }: Answer) => ({
  status,
  type,
  text: /^text\/(plain|html)/.test(type)
    ? ''
    : text
        .replaceAll(
          /"(requestId|connectionId|since|createdAt|activeAt|time|serverTime)":("[^"]*"|\d+)/g,
          '"$1":0',
        )
        .replaceAll(/\d{13}-/g, 'E-')
        .replaceAll(/\/(?:api\/)?rt\//g, '/')
        .replace(/,?"servers":\[[^\]]*\]/, '')
        .replace(/^retry: \d+/, 'retry: 0'),
})

for (const [way, mount] of Object.entries(ways)) {
  t.test(way, async t => {
    const own = await serve(t)
    const { url, appUrl } = await mount(t)
    await ask(own.url, { method: 'POST', path: '/v1/sessions', body: { sessionId: 's' } })
    await ask(url, { method: 'POST', path: '/v1/sessions', body: { sessionId: 's' } })

    await t.test('every route answers the same', async t => {
      const routes = own.server.routes.filter(({ url }) => url !== '/v1/ws' && url !== '/')
      t.ok(routes.length > 30)
      for (const { method, url: route } of routes) {
        const path = route
          .replace(/:sessionId/, 's')
          .replaceAll(/:\w+/g, 'script')
          .replace('*', 'README.md')
        const sent = { method, path, body: bodies[`${method} ${route}`] }
        t.same(alike(await ask(url, sent)), alike(await ask(own.url, sent)), `${method} ${route}`)
      }
      for (const path of ['/nowhere', `/v1/sessions/${'a'.repeat(128)}`, '/v1/ws']) {
        const sent = { method: 'GET', path }
        t.same(alike(await ask(url, sent)), alike(await ask(own.url, sent)), path)
      }
      // The app's router may have refused it.
      t.equal((await ask(url, { method: 'GET', path: '/v1/sessions/%E0%A4' })).status, 400)
    })

    await t.test('what it says of its own paths has the prefix', async t => {
      const prefix = new URL(url).pathname
      const { text } = await ask(url, { method: 'GET', path: '/openapi.json' })
      t.same(JSON.parse(text).servers, [{ url: prefix }])
      t.match((await ask(url, { method: 'GET', path: '/nowhere' })).text, `${prefix}/openapi.json`)
      const upgrade = {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
      }
      const { status, text: refused } = await ask(url, { method: 'GET', path: '/healthz', headers: upgrade })
      t.equal(status, 404)
      t.match(refused, `connect to ${prefix}/v1/ws`)
    })

    await t.test('the page is at the prefix with a slash, so that its relative links hold', async t => {
      const raw = await openRaw(t, url)
      const { pathname } = new URL(url)
      raw.socket.write(`GET ${pathname}?a=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
      t.match(await raw.closed, /^HTTP\/1\.1 308 .*\r\nlocation: rt\/\?a=1\r\n/is)
      t.not((await ask(url, { method: 'GET', path: '/' })).status, 308)
    })

    await t.test('other paths are the app’s', async t => {
      for (const path of ['/', '/healthz', '/v1/agents', '/metrics', '/rtx/healthz', '/openapi.json']) {
        t.equal((await ask(appUrl, { method: 'GET', path })).status, 404, path)
      }
    })

    await t.test('a WebSocket speaks below the prefix only', async t => {
      const open = (address: string) =>
        new Promise<string>(resolve => {
          const socket = new WebSocket(address.replace('http', 'ws'), { ca: tls.cert })
          t.teardown(() => socket.terminate())
          socket.on('message', message => resolve(String(message)))
          socket.on('error', error => resolve(error.message))
        })
      t.match(await open(`${url}/v1/ws`), '"type":"hello"')
      t.match(await open(`${appUrl}/v1/ws`), /Unexpected server response: 404|socket hang up/)
    })

    await t.test('whoever asks for another protocol is answered in this one', async t => {
      const { pathname } = new URL(url)
      const raw = await openRaw(t, url)
      const ask = async (n: number) => {
        raw.socket.write(
          `GET ${pathname}/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n`,
        )
        await eventually(t, `answer ${n}`, () => raw.text().split('HTTP/1.1 200').length - 1 === n)
      }
      await ask(1)
      await ask(2)
    })
  })
}

t.test('over HTTP/2 of the app', async t => {
  const { url, appUrl, server } = await (ways['the Fastify plugin over TLS'] as (typeof ways)[string])(t)
  await server.publish('s', { type: 'x.a', data: 1 })
  const session = await openHttp2(t, appUrl)
  const stream = session.request({
    [constants.HTTP2_HEADER_PATH]: `${new URL(url).pathname}/v1/sessions/s/events`,
    accept: 'text/event-stream',
  })
  let text = ''
  stream.setEncoding('utf8').on('data', part => {
    text += part
  })
  await eventually(t, 'the event', () => text.includes('"type":"x.a"'))
})
