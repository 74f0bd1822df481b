/**
 * Builds the documentation site in `site/dist/`: first the API reference, by TypeDoc from the comments of all public
 * entries, then the site, by VitePress. `npm run docs -- dev` serves the site on loopback and follows changes of the
 * documents; further arguments go to VitePress, such as `--base /twinrail/` or `--port 4000`.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'

const site = import.meta.dirname
const root = join(site, '..')
const begun = performance.now()
const say = text => process.stderr.write(`docs: ${text}\n`)

/** Runs a command in `site/`; when it fails, this process fails as well. */
function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: site, stdio: 'inherit' })
  if (error) say(`${command} cannot be started: ${error.message}`)
  if (status !== 0) process.exit(status ?? 1)
}

const modified = path => statSync(join(site, path), { throwIfNoEntry: false })?.mtimeMs ?? 0

if (!existsSync(join(root, 'node_modules/typescript'))) {
  say('the packages of the repository are missing: run npm ci first')
  process.exit(1)
}
if (modified('node_modules/.package-lock.json') < modified('package-lock.json')) {
  say('installing VitePress and TypeDoc in site/node_modules …')
  run('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'])
}
const [mode = 'build', ...others] = process.argv.slice(2)
say('reading the comments of the public entries …')
run(process.execPath, ['node_modules/typedoc/bin/typedoc'])
if (mode === 'dev') {
  run(process.execPath, ['node_modules/vitepress/bin/vitepress.js', 'dev', '--host', '127.0.0.1', ...others])
} else {
  say('building the pages …')
  run(process.execPath, ['node_modules/vitepress/bin/vitepress.js', mode, ...others])
  say(`site/dist/ is built, ${((performance.now() - begun) / 1000).toFixed(1)} s`)
}
