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
    // What is loaded later, if at all, does not count.
    external: ['react', './renewing-credentials.ts'],
    write: false,
    metafile: true,
  })
  const contents = outputFiles[0]!.contents
  return { bytes: gzipSync(contents, { level: 9 }).length, inputs: Object.keys(metafile.inputs) }
}

t.test('the client is at most 14 KB, with the view and the hooks 18 KB, minified and gzipped', async t => {
  for (const [entry, kilobytes] of [
    ['index.ts', 14],
    ['view/index.ts', 18],
    ['react/index.ts', 18],
  ] as const) {
    const { bytes, inputs } = await bundle(entry)
    t.comment(`${entry}: ${bytes} bytes`)
    t.ok(bytes <= kilobytes * 1024, `${entry}: ${bytes}`)
    t.notOk(
      inputs.some(input => input.includes('/zod/')),
      'no schemas in it',
    )
    if (entry !== 'view/index.ts') t.ok(inputs.some(input => input.includes('eventsource-parser')))
  }
})
