/** The licences of the packages that a bundled page contains: most ask for their text to come along. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Metafile } from 'esbuild'

/** The texts of all packages whose files are in the bundle, in the order of their names. */
export function licensesOf({ inputs }: Metafile, workingFolder: string): string {
  const folders = new Set<string>()
  for (const path of Object.keys(inputs)) {
    // The last one: a package may have packages of its own.
    const [folder] = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path) ?? []
    if (folder !== undefined) folders.add(join(workingFolder, folder))
  }
  return [...folders].map(textOf).sort().join('\n\n---\n\n')
}

function textOf(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const file = readdirSync(folder).find(file => /^licen[cs]e(?:\.\w+)?$/i.test(file))
  const text = file === undefined ? '' : `\n\n${readFileSync(join(folder, file), 'utf8').trim()}`
  return `# ${name} ${version}: ${license}${text}\n`
}
