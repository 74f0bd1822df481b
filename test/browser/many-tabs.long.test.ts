/** Many tabs that share nothing, over HTTP/1.1: `auto` leaves room for pages and requests. */
import t from 'tap'
import { clientPage, closeBrowser, profile, serve, skip } from './stage.ts'

t.test('tabs with a client of their own each', { skip }, async t => {
  t.teardown(closeBrowser)
  const url = await serve(t)
  const context = await profile(t)
  const used: string[] = []
  const pages = []
  for (let tab = 0; tab < 8; tab++) {
    const page = await clientPage(t, url, context)
    pages.push(page)
    used.push(
      await page.evaluate(async () => {
        const client = twinrail.createClient({ url: location.origin })
        const session = client.session('of-all-tabs')
        await session.create()
        const heard: string[] = []
        Object.assign(globalThis, { client, heard })
        await new Promise<void>((resolve, reject) => {
          const read = async () => {
            for await (const event of session.events()) {
              if (event.type === 'caught-up') resolve()
              if ((event.type as string) === 'x.note') heard.push(event.type)
            }
          }
          read().catch(reject)
        })
        await session.publish('x.note', 'here')
        return client.quality.current.transport
      }),
    )
  }
  t.comment(used.join(' '))
  t.equal(pages.length, 8, 'every tab loads')
  t.ok(used.filter(transport => transport === 'sse').length <= 4, 'at most four streams of requests')
  t.equal(used[0], 'sse')
  t.equal(used.at(-1), 'websocket')
  await pages.at(-1)!.waitForFunction(() => (globalThis as unknown as { heard: string[] }).heard.length >= 1)

  // The first tabs go: what they had is free again.
  for (const page of pages.splice(0, 7)) await page.close()
  const page = await clientPage(t, url, context)
  const transport = await page.evaluate(async () => {
    const client = twinrail.createClient({ url: location.origin })
    for await (const event of client.session('of-all-tabs').events()) if (event.type === 'caught-up') break
    return client.quality.current.transport
  })
  t.equal(transport, 'sse')
})
