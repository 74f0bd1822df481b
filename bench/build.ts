/** What is measured: the sources as plain JavaScript. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = fileURLToPath(new URL('../', import.meta.url))
const out = join(root, 'node_modules/.cache/twinrail-bench')

let built = false

const compilerOptions: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.ESNext,
  verbatimModuleSyntax: true,
  rewriteRelativeImportExtensions: true,
}

/**
 * Compiles `src` and `bench`, file by file and only what has changed, once per run, and gives the folder. The measured processes run
 * this and not the sources through tsx: tsx gives every closure a name at the moment that it is made, work that what
 * ships does not do. It is a copy, so that editing while a run goes on does not change what the run measures.
 */
export function build(): string {
  if (built) return out
  built = true
  for (const folder of ['src', 'bench']) {
    for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith('.ts')) continue
      const source = join(entry.parentPath, entry.name)
      const target = join(out, source.slice(root.length)).replace(/\.ts$/, '.js')
      if (existsSync(target) && statSync(target).mtimeMs > statSync(source).mtimeMs) continue
      const { outputText } = ts.transpileModule(readFileSync(source, 'utf8'), {
        compilerOptions,
        fileName: source,
      })
      mkdirSync(dirname(target), { recursive: true })
      writeFileSync(target, outputText)
    }
  }
  writeFileSync(join(out, 'package.json'), '{"type":"module"}\n')
  return out
}
