/** `npm run example -- <name>`: builds the page of an example, starts its server, and prints the address. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { EventLog } from 'twinrail'
import { buildPage } from './build.ts'

/** What the `server.ts` of an example exports. */
interface Example {
  /** @param page the folder of the built page */
  start(options: { port: number; page: string; log?: EventLog }): Promise<{
    url: string
    close(): Promise<void>
  }>
}

/** The folders that have a server, with the first paragraph of their README.md. */
const examples = Object.fromEntries(
  readdirSync(import.meta.dirname)
    .filter(name => existsSync(`${import.meta.dirname}/${name}/server.ts`))
    .map(name => {
      const readme = readFileSync(`${import.meta.dirname}/${name}/README.md`, 'utf8')
      return [name, readme.split(/\n\n+/)[1]?.replaceAll('\n', ' ') ?? '']
    }),
)

const usage = `Usage: npm run example -- <name> [--port <port>] [--log memory|lmdb:<folder>|redis://<host>]

${Object.entries(examples)
  .map(([name, about]) => `  ${name.padEnd(10)} ${about}`)
  .join('\n')}

Default port: 8790. Default log: memory, which forgets everything when the example stops.
`

/** Ends the process with a message for people. */
function refuse(message: string): never {
  process.stderr.write(`${message}\n\n${usage}`)
  process.exit(2)
}

function argumentsOf() {
  try {
    const { values, positionals } = parseArgs({
      options: { port: { type: 'string', default: '8790' }, log: { type: 'string', default: 'memory' } },
      allowPositionals: true,
    })
    return { ...values, positionals }
  } catch (error) {
    return refuse((error as Error).message)
  }
}

async function openLog(log: string): Promise<EventLog | undefined> {
  if (log === 'memory') return undefined
  if (log.startsWith('lmdb:')) {
    const { openLmdbLog } = await import('twinrail/log/lmdb')
    return openLmdbLog({ folder: log.slice('lmdb:'.length) })
  }
  if (/^rediss?:/.test(log)) {
    const { createRedisLog } = await import('twinrail/log/redis')
    return createRedisLog({ url: log })
  }
  return refuse(`--log: received ${log}, expected memory, lmdb:<folder> or redis://<host>`)
}

const { positionals, port, log } = argumentsOf()
const [name] = positionals
if (name === undefined) {
  process.stdout.write(usage)
  process.exit()
}
if (!Object.hasOwn(examples, name) || positionals.length > 1) {
  refuse(`Received "${positionals.join(' ')}", expected one of: ${Object.keys(examples).join(', ')}`)
}
if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
  refuse(`--port: received ${port}, expected a number from 0 to 65535; 0 takes a free port`)
}

const say = (text: string) => process.stdout.write(`${name}: ${text}\n`)
say(examples[name] as string)
say('building the page …')
const page = await buildPage(name)
const { start }: Example = await import(`./${name}/server.ts`)
const opened = await openLog(log)
const { url, close } = await start({ port: Number(port), page, ...(opened && { log: opened }) }).catch(
  error => {
    if (error.code !== 'EADDRINUSE') throw error
    return refuse(`Port ${port} is in use. Name another one with --port; 0 takes a free one.`)
  },
)
say(`ready at ${url}`)
say(`examples/${name}/README.md says what to try. Stop it with Ctrl-C.`)

let isClosing = false
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // A second Ctrl-C does not wait for runs that are still open.
    if (isClosing) process.exit(1)
    isClosing = true
    void close().then(() => process.exit(0))
  })
}
