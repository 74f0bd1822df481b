/** The client in Bun and Deno, whose binaries the npm packages of these names bring. Skipped, visibly, without them. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { stage } from './stage.ts'

const root = new URL('../../', import.meta.url).pathname
const child = join(root, 'test/client/runtime-child.ts')

const runtimes = [
  { name: 'bun', args: ['run', child] },
  // It reads the client's own package from node_modules, and reaches nothing but the server.
  {
    name: 'deno',
    args: ['run', '--node-modules-dir=manual', '--no-lock', '--allow-net=127.0.0.1', '--allow-env', child],
  },
]

/** Where a program is: as its environment variable says, such as `BUN`, or in PATH. */
function find(name: string): string | undefined {
  const named = process.env[name.toUpperCase()]
  if (named) return named
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  return folders.map(folder => join(folder, name)).find(existsSync)
}

for (const { name, args } of runtimes) {
  const program = find(name)
  const skip = program
    ? false
    : `no ${name}: npm install ${name}, and set ${name.toUpperCase()} to its binary`
  t.test(`a run over all three transports in ${name}`, { skip }, async t => {
    const url = await stage(t)
    const { stdout } = await promisify(execFile)(program as string, [...args, url], { cwd: root })
    const texts = JSON.parse(stdout) as Record<string, string>
    t.same(Object.keys(texts), ['sse', 'websocket', 'long-poll'])
    t.equal(new Set(Object.values(texts)).size, 1, 'the same on each')
    t.match(texts['sse'], /^run\.completed .{500}/s)
  })
}
