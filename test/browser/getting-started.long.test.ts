/** docs/getting-started.md does what it says: its server and its page, in a real browser. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { TwinrailServer } from '../../src/index.ts'
import { markOf, snippetsOf } from '../fixtures/documents.ts'
import { closeBrowser, open, skip } from './stage.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const files = new Map(
  snippetsOf('docs/getting-started.md').map(snippet => [markOf(snippet, 'file'), snippet.code]),
)

t.test('Start, a second tab, a reload and Stop', { skip }, async t => {
  t.teardown(closeBrowser)
  // In this folder, so that packages are found.
  const folder = mkdtempSync(join(root, 'test/browser/typed-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const page = join(folder, 'counter.html')
  writeFileSync(page, files.get('counter.html') as string)
  const code = `${files.get('server.ts')}\nexport { server }\n`
    .replace("from 'twinrail'", `from '${join(root, 'src/index.ts')}'`)
    .replace("from 'twinrail/log/lmdb'", `from '${join(root, 'src/log/lmdb.ts')}'`)
    .replace("'counter.html'", JSON.stringify(page))
    .replace("'.twinrail'", JSON.stringify(join(folder, 'log')))
    .replace('8787', '0')
    .replace('console.log(', 'void (')
  writeFileSync(join(folder, 'server.ts'), code)
  const { server } = (await import(join(folder, 'server.ts'))) as { server: TwinrailServer }
  t.teardown(() => server.close({ graceMs: 0 }))
  const address = `http://127.0.0.1:${(server.app.server.address() as AddressInfo).port}/counter`

  const first = await open(t, address)
  await first.getByRole('button', { name: 'Start' }).click()
  await first.getByText('1 2').waitFor()
  const second = await open(t, address)
  await second.getByText('1 2').waitFor()
  await first.reload()
  await first.getByText('1 2 3').waitFor()
  await second.getByRole('button', { name: 'Stop' }).click()
  for (const tab of [first, second]) await tab.getByText('run.cancelled').waitFor()
  const texts = await Promise.all([first, second].map(tab => tab.locator('#numbers').textContent()))
  t.equal(texts[0], texts[1], 'both tabs show the same')
  t.match(texts[0], /^1 2 3 (\d+ )*$/, 'each number once')

  const { runs } = await server.sessions.get('demo')
  t.match(runs, [{ agent: 'counter', status: 'cancelled' }])
})
