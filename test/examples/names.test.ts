/** The examples import the packages by name; `paths` of examples/tsconfig.json must lead to what the packages export. */
import { readFileSync } from 'node:fs'
import t from 'tap'

const read = (path: string) => JSON.parse(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8'))

t.test('every entry of the packages leads to its source', async t => {
  const wanted: Record<string, string[]> = {}
  for (const [folder, dist] of [
    ['', './dist/'],
    ['client/', './dist/client/'],
  ] as const) {
    const { name, exports } = read(`${folder}package.json`)
    for (const [entry, target] of Object.entries<{ default?: string }>(exports)) {
      if (target.default === undefined) continue
      const source = target.default.replace(dist, `../${folder}`).replace(/\.js$/, '.ts')
      wanted[entry.replace('.', name)] = [source]
    }
  }
  t.ok(Object.keys(wanted).length > 10)
  t.same(read('examples/tsconfig.json').compilerOptions.paths, wanted)
})
