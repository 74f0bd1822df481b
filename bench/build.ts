/** Compiles the code that is measured to plain JavaScript. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { transformSync } from 'esbuild'

const root = fileURLToPath(new URL('../', import.meta.url))
const out = join(root, 'bench/dist')

/** What measured processes do not load, and what this function has written. */
const notMeasured =
  /^bench\/(dist|test)\/|^client\/(dist|page|playground|inspector)\/|\/node_modules\/|\.d\.ts$/

let built = false

/** Relative imports name `.ts` files; what is written are `.js` files. */
const relativeImport = /((?:from|import) ?\(?"\.[^"]*)\.ts"/g

/**
 * Compiles `src`, `client` and `bench`, only files that have changed and once per run. The measured processes run the result and not
 * the sources through tsx: tsx names every closure when it is created, which the published package does not do. Editing
 * during a run does not change what the run measures.
 * @returns the folder
 */
export function build(): string {
  if (built) return out
  built = true
  for (const folder of ['src', 'client', 'bench']) {
    for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
      const source = join(entry.parentPath, entry.name)
      const path = source.slice(root.length)
      if (!entry.isFile() || notMeasured.test(path) || !/\.(ts|ndjson)$/.test(path)) continue
      const target = join(out, path).replace(/\.ts$/, '.js')
      if (existsSync(target) && statSync(target).mtimeMs > statSync(source).mtimeMs) continue
      mkdirSync(dirname(target), { recursive: true })
      if (!entry.name.endsWith('.ts')) {
        copyFileSync(source, target)
        continue
      }
      const { code } = transformSync(readFileSync(source, 'utf8'), { loader: 'ts', target: 'es2023' })
      writeFileSync(target, code.replace(relativeImport, '$1.js"'))
    }
  }
  writeFileSync(join(out, 'package.json'), '{"type":"module"}\n')
  return out
}
