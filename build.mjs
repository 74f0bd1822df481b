/**
 * Builds side by side, and reports its progress:
 * - `node build.mjs` the page at `/`, and the package `twinrail` in `dist/`: `npm run build`
 * - `node build.mjs start` the same without type declarations, which take most of the time: `npm start`
 * - `node build.mjs client` the package `twinrail-client` in `client/dist/`
 * - `node build.mjs examples` the package `twinrail-examples` in `examples/dist/`
 */
import { spawn } from 'node:child_process'
import { chmodSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const { resolve } = createRequire(import.meta.url)
const packageOf = name => dirname(resolve(`${name}/package.json`))

// `npm run types` checks types; a build only emits.
const compile = (project, ...options) => [
  join(packageOf('typescript'), 'bin/tsc'),
  ...['-p', project, '--noCheck', ...options],
]
const page = [join(packageOf('vite'), 'bin/vite.js'), 'build', 'client/playground', '--logLevel', 'warn']

const steps = {
  all: { 'the page': page, 'the server': compile('tsconfig.build.json') },
  start: { 'the page': page, 'the server': compile('tsconfig.build.json', '--declaration', 'false') },
  client: { 'the client': compile('client/tsconfig.build.json') },
  examples: {
    'the pages': ['--import=./test/loader/register.mjs', 'examples/build-pages.ts'],
    'the servers': compile('examples/tsconfig.build.json'),
  },
}[process.argv[2] ?? 'all']

const begun = performance.now()
const seconds = () => `${((performance.now() - begun) / 1000).toFixed(1)} s`
const isTerminal = process.stderr.isTTY === true
const say = text => process.stderr.write(`${isTerminal ? '\r\x1b[K' : ''}build: ${text}\n`)

const pending = new Set(Object.keys(steps))
const listed = () => [...pending].join(' and ')
/** On a terminal one line that counts, elsewhere a line now and then. */
const showProgress = () => {
  if (isTerminal) process.stderr.write(`\r\x1b[Kbuild: building ${listed()}, ${seconds()}`)
  else say(`still building ${listed()}, ${seconds()}`)
}

say(`building ${listed()} …`)
const progress = setInterval(showProgress, isTerminal ? 500 : 2000)

const codes = await Promise.all(
  Object.entries(steps).map(
    ([name, args]) =>
      new Promise((done, failed) => {
        const child = spawn(process.execPath, args, { cwd: import.meta.dirname, stdio: 'inherit' })
        child.once('error', failed)
        child.once('close', code => {
          pending.delete(name)
          say(`${name} ${code === 0 ? 'is built' : 'could not be built'}, ${seconds()}`)
          done(code)
        })
      }),
  ),
)
clearInterval(progress)
if (codes.some(code => code !== 0)) process.exit(1)
const home = join(import.meta.dirname, { client: 'client', examples: 'examples' }[process.argv[2]] ?? '.')
const { bin = {} } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'))
for (const file of Object.values(bin)) chmodSync(join(home, file), 0o755)
