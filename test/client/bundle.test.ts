import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import t from 'tap'

const client = new URL('../../client/', import.meta.url).pathname

/** A bundle of what a page imports by these lines. */
const bundle = async (contents: string) => {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: client, loader: 'ts' },
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
  return {
    bytes: gzipSync(outputFiles[0]!.contents, { level: 9 }).length,
    inputs: Object.keys(metafile.inputs),
  }
}

t.test('the client is at most 14 KB, with a chat in React 18 KB, minified and gzipped', async t => {
  for (const [entry, kilobytes, contents] of [
    ['the client', 14, "export * from './index.ts'"],
    ['the view', 18, "export * from './view/index.ts'"],
    [
      'a chat in React',
      18,
      "export { createClient } from './index.ts'; export { useSession } from './react/index.ts'",
    ],
    ['sharing among tabs', 6, "export * from './shared/index.ts'"],
    ['all hooks', 21, "export * from './react/index.ts'"],
  ] as const) {
    const { bytes, inputs } = await bundle(contents)
    t.comment(`${entry}: ${bytes} bytes`)
    t.ok(bytes <= kilobytes * 1024, `${entry}: ${bytes}`)
    t.notOk(
      inputs.some(input => input.includes('/zod/')),
      'no schemas in it',
    )
    if (entry !== 'the view' && entry !== 'sharing among tabs')
      t.ok(inputs.some(input => input.includes('eventsource-parser')))
  }
})
