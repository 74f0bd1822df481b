/** Which examples there are. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** What the README.md of an example says: its heading, and its first paragraph. */
export interface About {
  title: string
  text: string
}

/**
 * The folders that have a page of their own.
 * @param home the folder `examples/`, or that of the package
 */
export function examplesIn(home: string): Readonly<Record<string, About>> {
  return Object.fromEntries(
    readdirSync(home)
      .filter(name => existsSync(join(home, name, 'page')))
      .map(name => [name, aboutOf(home, name)]),
  )
}

export function aboutOf(home: string, name: string): About {
  const readme = readFileSync(join(home, name, 'README.md'), 'utf8')
  const [heading = '', first = ''] = readme.split(/\n\n+/)
  return { title: heading.replace('# ', ''), text: first.replaceAll('\n', ' ') }
}
