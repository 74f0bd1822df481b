/** Turns TypeScript into JavaScript by esbuild, once for each text of each file: what was made is kept. */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)
const { version } = require('esbuild/package.json')

const kept = fileURLToPath(new URL('../../node_modules/.cache/twinrail-tests', import.meta.url))
mkdirSync(kept, { recursive: true })

/** Node's `load` hook; synchronous, so that it fits both kinds of hooks. */
export function load(url, context, next) {
  if (!/^file:.*\.tsx?$/.test(url)) return next(url, context)
  const file = fileURLToPath(url)
  const text = readFileSync(file, 'utf8')
  const key = createHash('sha256').update(`${version} 2\n${file}\n${text}`).digest('hex')
  return { format: 'module', source: read(key) ?? make(key, file, text), shortCircuit: true }
}

function read(key) {
  try {
    return readFileSync(join(kept, key), 'utf8')
  } catch {
    return undefined
  }
}

function make(key, file, text) {
  const { code } = require('esbuild').transformSync(text, {
    loader: file.endsWith('x') ? 'tsx' : 'ts',
    jsx: 'automatic',
    format: 'esm',
    target: 'node20',
    sourcemap: 'inline',
    sourcesContent: false,
    sourcefile: file,
  })
  // Others may make the same at this moment.
  const draft = join(kept, `${key}.${process.pid}`)
  writeFileSync(draft, code)
  renameSync(draft, join(kept, key))
  return code
}
