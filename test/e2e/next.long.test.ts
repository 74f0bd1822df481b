/** The example for Next.js, with the packed client: it compiles, and its first page is rendered on the server. */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { emptyFolder, install, packWithTypes } from '../fixtures/packed.ts'

/** A folder in which `next`, React 19 and their types are installed. */
const frameworks = process.env['FRAMEWORKS'] ?? ''
const modules = join(frameworks, 'node_modules')
const skip = existsSync(join(modules, 'next'))
  ? false
  : 'FRAMEWORKS names no folder with next in node_modules'

const example = new URL('../../examples/next', import.meta.url).pathname

t.test('the example for Next.js compiles', { skip }, async t => {
  const folder = emptyFolder(t)
  cpSync(example, folder, { recursive: true })
  install(folder, [packWithTypes(t, 'twinrail-client', folder)], [])
  for (const entry of readdirSync(modules)) {
    const names = entry.startsWith('@')
      ? readdirSync(join(modules, entry)).map(name => join(entry, name))
      : [entry]
    for (const name of names) {
      const link = join(folder, 'node_modules', name)
      if (existsSync(link) || entry.startsWith('.')) continue
      mkdirSync(dirname(link), { recursive: true })
      symlinkSync(realpathSync(join(modules, name)), link)
    }
  }
  const { NODE_OPTIONS: _, ...env } = process.env
  const output = execFileSync(process.execPath, [join(folder, 'node_modules/next/dist/bin/next'), 'build'], {
    cwd: folder,
    env: { ...env, NEXT_TELEMETRY_DISABLED: '1' },
    encoding: 'utf8',
  })
  t.match(output, /Compiled successfully/)
  t.match(readFileSync(join(folder, '.next/server/app/index.html'), 'utf8'), /Ask the documentation.*<form>/s)
})
