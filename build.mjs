/** `npm run build`: makes the page at `/` and compiles the rest to `dist/`, side by side, and says how far it is. */
import { spawn } from 'node:child_process'
import { chmodSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const { resolve } = createRequire(import.meta.url)
const packageOf = name => dirname(resolve(`${name}/package.json`))

const steps = {
  'the page': [join(packageOf('vite'), 'bin/vite.js'), 'build', 'client/playground', '--logLevel', 'warn'],
  'the server': [join(packageOf('typescript'), 'bin/tsc'), '-p', 'tsconfig.build.json', '--noCheck'],
}

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
const { bin } = JSON.parse(readFileSync(join(import.meta.dirname, 'package.json'), 'utf8'))
chmodSync(join(import.meta.dirname, bin.twinrail), 0o755)
