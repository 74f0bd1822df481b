/** Compressed streams in a real browser, without the client. */
import t from 'tap'
import { closeBrowser, open, serve, skip } from './stage.ts'

t.test(
  'a bare EventSource and a bare WebSocket decode compressed streams, each event before the next',
  { skip },
  async t => {
    t.teardown(closeBrowser)
    const compressing = await serve(t, { compression: true })
    const page = await open(t, `${compressing}/healthz`)
    const encodings: (string | undefined)[] = []
    page.on('response', async response => {
      if (response.request().resourceType() === 'eventsource')
        encodings.push(response.headers()['content-encoding'])
    })
    const found = await page.evaluate(async () => {
      const post = (path: string, body: object) =>
        fetch(path, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        })
      await post('/v1/sessions', { sessionId: 's' })
      const got: { sse: string[]; websocket: string[] } = { sse: [], websocket: [] }
      let told = () => {}
      const take = (transport: 'sse' | 'websocket', json: string) => {
        if (json.startsWith('{"offset"')) got[transport].push(json)
        told()
      }
      const source = new EventSource('/v1/sessions/s/events')
      source.onmessage = ({ data }) => take('sse', data)
      const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/v1/ws`)
      socket.onmessage = ({ data }) => {
        for (const json of String(data).split('\n')) take('websocket', json)
      }
      await new Promise(resolve => {
        socket.onopen = resolve
      })
      socket.send(JSON.stringify({ type: 'subscribe', id: '1', sessionId: 's' }))
      for (let n = 1; n <= 40; n++) {
        await post('/v1/sessions/s/events', { type: 'x.said', data: `the same words again, ${n}` })
        while (got.sse.length < n || got.websocket.length < n) {
          await new Promise<void>(resolve => {
            told = resolve
          })
        }
      }
      const { extensions } = socket
      source.close()
      socket.close()
      return { ...got, extensions }
    })
    t.equal(found.sse.length, 40)
    t.same(found.sse, found.websocket)
    t.match(found.extensions, /permessage-deflate/)
    t.same(encodings, ['gzip'])
  },
)
