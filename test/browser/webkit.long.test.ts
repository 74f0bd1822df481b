/** The core of the page in WebKit; skipped, visibly, without its driver or Xvfb. */
import t from 'tap'
import { testCore } from './core.ts'
import { noWebKit, startWebKit } from './webkit.ts'

t.test('the page in WebKit', { skip: noWebKit }, async t => {
  const browser = await startWebKit(t)
  await testCore(t, () => browser.newTab())
})
