import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import t from 'tap'

const bundle = async (entry: string) => {
  const { outputFiles, metafile } = await build({
    entryPoints: [new URL(`../../client/${entry}`, import.meta.url).pathname],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    platform: 'browser',
    external: ['react'],
    write: false,
    metafile: true,
  })
  const contents = outputFiles[0]!.contents
  return { bytes: gzipSync(contents, { level: 9 }).length, inputs: Object.keys(metafile.inputs) }
}

t.test('everything a page needs but React is at most 14 KB, minified and gzipped', async t => {
  for (const entry of ['index.ts', 'react/index.ts']) {
    const { bytes, inputs } = await bundle(entry)
    t.comment(`${entry}: ${bytes} bytes`)
    t.ok(bytes <= 14 * 1024, `${entry}: ${bytes}`)
    t.notOk(
      inputs.some(input => input.includes('/zod/')),
      'no schemas in it',
    )
    t.ok(inputs.some(input => input.includes('eventsource-parser')))
  }
})
