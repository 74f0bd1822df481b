/** No page of an example makes the browser complain, such as of what its Content-Security-Policy forbids. */
import t from 'tap'
import { closeBrowser, openTab, profile, skip } from '../browser/stage.ts'
import { pageOf } from './stage.ts'

t.test('the pages of the examples', { skip }, async t => {
  t.teardown(closeBrowser)
  for (const name of ['chat', 'documents', 'editing', 'training', 'game']) {
    t.test(name, async t => {
      const { start } = await import(`../../examples/${name}/server.ts`)
      const { url, close } = await start({ port: 0, page: await pageOf(t, name) })
      t.teardown(close)
      const context = await profile(t)
      const complaints: string[] = []
      context.on('console', message => {
        if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
      })
      const page = await openTab(t, context, url)
      await page.getByText('why?').waitFor()
      t.same(complaints, [])
    })
  }
})
