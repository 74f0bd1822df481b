/**
 * Completes package-lock.json with the optional packages of other platforms.
 *
 * npm leaves an optional package out of the lock when the registry in use does not serve it, as mirrors that hold one
 * platform only do; `npm ci` then calls the lock out of sync, and the platforms left out lack their binaries. Run it
 * after every change of dependencies made behind such a mirror: `node .ci/complete-lock.mjs`. Changes nothing where
 * nothing is missing.
 */
import { readFileSync, writeFileSync } from 'node:fs'

const systems = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32']
const processors = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64']
const aliases = { gnu: 'glibc', gnueabihf: 'glibc', musl: 'musl', musleabihf: 'musl' }

/** What a platform package's name says of where it runs. */
function platformOf(name) {
  if (name === 'fsevents') return { os: ['darwin'] }
  const words = name.split(/[/-]/).flatMap(word => (word === 'armv6' || word === 'armv7' ? ['arm'] : [word]))
  const of = known => words.filter(word => known.includes(word))
  const libc = words.flatMap(word => aliases[word] ?? [])
  return Object.fromEntries(
    Object.entries({ os: of(systems), cpu: of(processors), libc }).filter(([, values]) => values.length > 0),
  )
}

const file = new URL('../package-lock.json', import.meta.url)
const lock = JSON.parse(readFileSync(file, 'utf8'))
let added = 0
for (const [parent, { dev, optionalDependencies = {} }] of Object.entries({ ...lock.packages })) {
  if (parent === '') continue
  for (const [name, range] of Object.entries(optionalDependencies)) {
    const places = parent.split('node_modules/').map((_, i, all) => all.slice(0, i + 1).join('node_modules/'))
    const found = places.some(place => lock.packages[`${place.replace(/\/?$/, place === '' ? '' : '/')}node_modules/${name}`])
    const platform = platformOf(name)
    if (found || !platform.os?.length) continue
    const version = range.replace(/^[~^]/, '')
    lock.packages[`node_modules/${name}`] = { version, ...platform, ...(dev && { dev }), optional: true }
    added++
  }
}
if (added > 0) {
  const { '': root, ...rest } = lock.packages
  const sorted = Object.fromEntries(Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
  writeFileSync(file, `${JSON.stringify({ ...lock, packages: { '': root, ...sorted } }, null, 2)}\n`)
}
process.stdout.write(`${added} packages of other platforms added\n`)
