/** The table of situations in docs/clients/README.md is what clients.long.test.ts tries. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { situations } from './clients/client.ts'
import { clients } from './clients/index.ts'

t.test('docs/clients/README.md says of every client what it does in every situation', async t => {
  const page = readFileSync(new URL('../../docs/clients/README.md', import.meta.url), 'utf8')
  const [, table = ''] = /<!-- clients\.long\.test\.ts -->\n(.*?)\n<!-- end -->/s.exec(page) ?? []
  const rows = Object.entries(clients).map(([name, { lacks }]) => [
    name,
    ...situations.map(situation => lacks[situation] ?? 'yes'),
  ])
  const lines = [['client', ...situations], ...rows].map(row => `| ${row.join(' | ')} |`)
  lines.splice(1, 0, `|${'---|'.repeat(situations.length + 1)}`)
  t.strictSame(table.split('\n'), lines)
})
