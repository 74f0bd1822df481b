/** The client alone in a real browser: many sessions over HTTP/1.1, and slow consumers. */
import t from 'tap'
import type * as Twinrail from '../../client/index.ts'
import { held } from '../client/held.ts'
import { clientPage, closeBrowser, serve, skip } from './stage.ts'

t.test('the client in Chromium', { skip }, async t => {
  t.teardown(closeBrowser)
  const url = await serve(t)

  for (const transport of ['auto', 'websocket'] as const) {
    t.test(`${transport}: a page with eight sessions over HTTP/1.1 does not hang`, async t => {
      const page = await clientPage(t, url)
      const sockets: string[] = []
      page.on('websocket', socket => sockets.push(socket.url()))
      const { texts, used, because } = await page.evaluate(async transport => {
        const client = twinrail.createClient({ url: location.origin, transport })
        const sessions = Array.from({ length: 8 }, () => client.session())
        await Promise.all(sessions.map(session => session.create()))
        const live = sessions.map(async session => {
          let text = ''
          for await (const event of session.events()) {
            if (event.type === 'text.delta') text += event.data.delta
            if (event.type === 'run.completed') return text
          }
          return ''
        })
        await Promise.all(sessions.map(session => session.run('playback', { count: 100, rate: 200 }).started))
        const texts = await Promise.all(live)
        return { texts, used: client.quality.current.transport, because: client.quality.current.because }
      }, transport)
      t.equal(texts.length, 8)
      t.equal(new Set(texts).size, 1)
      t.ok(texts[0]!.length > 300)
      t.equal(used, 'websocket')
      t.equal(sockets.length, 1, 'one socket carries them all')
      t.comment(because.join('; '))
    })
  }

  for (const transport of ['sse', 'websocket'] as const) {
    t.test(`${transport}: 20 ms an event does not make the page or the server grow`, async t => {
      const page = await clientPage(t, url)
      const cdp = await page.context().newCDPSession(page)
      await cdp.send('HeapProfiler.enable')
      const heap = async () => {
        await cdp.send('HeapProfiler.collectGarbage')
        const { usedSize } = (await cdp.send('Runtime.getHeapUsage')) as { usedSize: number }
        return usedSize
      }
      await page.evaluate(async transport => {
        const client = twinrail.createClient({ url: location.origin, transport })
        const session = client.session()
        await session.run('playback', { count: 600, rate: 0, bytes: 50_000 }).done
        Object.assign(globalThis, { client, events: session.events({ replay: 'full' }) })
      }, transport)
      const read = (count: number) =>
        page.evaluate(async count => {
          const { events, client } = globalThis as unknown as {
            events: AsyncGenerator<unknown>
            client: Twinrail.Client
          }
          for (let i = 0; i < count; i += 1) {
            await events.next()
            await new Promise(resolve => setTimeout(resolve, 20))
          }
          return client.quality.current.bytes
        }, count)
      const start = await read(10)
      const [page0, server0] = [await heap(), held()]
      const end = await read(200)
      const grown = (await heap()) - page0
      const serverGrown = held() - server0
      t.comment(
        `page ${(grown / 1e6).toFixed(2)} MB, server ${(serverGrown / 1e6).toFixed(2)} MB, read ${((end - start) / 1e6).toFixed(1)} MB`,
      )
      t.ok(grown < 6e6, `the page grew by ${grown}`)
      t.ok(serverGrown < 8e6, `the server grew by ${serverGrown}`)
      t.ok(end - start < 16e6, `${end - start} bytes were read for 10 MB`)
    })
  }
})
