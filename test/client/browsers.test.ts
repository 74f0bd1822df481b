/** The client uses nothing that the oldest browsers it supports lack; README, the build of the page and the code agree. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const client = new URL('../../client/', import.meta.url).pathname
const read = (file: string) => readFileSync(join(client, file), 'utf8')

/** Newer than Chrome and Edge 100, Firefox 104 or Safari 16.4, or missing in pages over plain HTTP. */
const tooNew =
  /\.(toSorted|toReversed|toSpliced|isWellFormed|toWellFormed|getOrInsert|difference|intersection|symmetricDifference|isSubsetOf|transferToFixedLength)\(|Array\.fromAsync|Object\.groupBy|Map\.groupBy|Promise\.(withResolvers|try)|AbortSignal\.(any|timeout)|URL\.(canParse|parse)|randomUUID\(|structuredClone\(|\bIterator\.|Symbol\.(asyncD|d)ispose|^\s*(await )?using /m

t.test('the browsers that README names are those that the page is built for', async t => {
  const [, chrome, firefox, safari] =
    /The oldest browsers are Chrome and Edge (\d+), Firefox (\d+) and Safari ([\d.]+)\./.exec(
      read('README.md'),
    ) ?? []
  t.ok(chrome && firefox && safari)
  t.match(
    read('playground/vite.config.ts'),
    `target: ['chrome${chrome}', 'edge${chrome}', 'firefox${firefox}', 'safari${safari}'],`,
  )
})

t.test('no file of the client uses what is newer; workers run in Node', async t => {
  const sources = readdirSync(client, { recursive: true, encoding: 'utf8' }).filter(
    file => /\.tsx?$/.test(file) && !/^(dist|node_modules|page|python|worker)\//.test(file),
  )
  t.ok(sources.length > 60)
  for (const file of sources) {
    const code = read(file).replace(/^\s*(\/\/|\/?\*).*$/gm, '')
    t.equal(tooNew.exec(code)?.[0], undefined, file)
  }
})
