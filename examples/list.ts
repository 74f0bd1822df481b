/** Which examples there are. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * The folders that have a page of their own, with the first paragraph of their README.md.
 * @param home the folder `examples/`, or that of the package
 */
export function examplesIn(home: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    readdirSync(home)
      .filter(name => existsSync(join(home, name, 'page')))
      .map(name => {
        const readme = readFileSync(join(home, name, 'README.md'), 'utf8')
        return [name, readme.split(/\n\n+/)[1]?.replaceAll('\n', ' ') ?? '']
      }),
  )
}
