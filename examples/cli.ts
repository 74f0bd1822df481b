/** The command line of the examples: lists them, starts one, and says what to open. */
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import type { EventLog } from 'twinrail'
import { examplesIn } from './list.ts'

/** What the `server.ts` of an example exports. */
interface Example {
  /** @param page the folder of the built page */
  start(options: { port: number; page: string; log?: EventLog }): Promise<{
    url: string
    close(): Promise<void>
  }>
}

export interface Program {
  /** What its users type before the name of an example. */
  command: string
  /** The folder that has a folder for each example, with its README.md. */
  home: string
  /** Resolves with the folder of an example's built page. */
  page(name: string): Promise<string>
}

/** Arguments that do not fit, in words for people. */
class Refusal extends Error {}

/** Does what the arguments of this process say, and ends it when they are wrong. */
export async function main({ command, home, page }: Program): Promise<void> {
  const examples = examplesIn(home)
  const usage = `Usage: ${command} <name> [--port <port>] [--log memory|lmdb:<folder>|redis://<host>]

${Object.entries(examples)
  .map(([name, { text }]) => `  ${name.padEnd(10)} ${text}`)
  .join('\n')}

Default port: 8790. Default log: memory, which forgets everything when the example stops.
`
  try {
    const { names, port, log, help } = argumentsOf()
    const [name] = names
    if (help || name === undefined) {
      process.stdout.write(usage)
      return
    }
    if (!Object.hasOwn(examples, name) || names.length > 1) {
      throw new Refusal(`Received "${names.join(' ')}", expected one of: ${Object.keys(examples).join(', ')}`)
    }
    const say = (text: string) => process.stdout.write(`${name}: ${text}\n`)
    say(examples[name]?.text ?? '')
    const url = await start(name, { port, page: await page(name), log: await openLog(log), say })
    const readme = relative(process.cwd(), join(home, name, 'README.md'))
    say(`ready at ${url}`)
    say(`Open this address in a browser. ${readme} says what to try. Stop it with Ctrl-C.`)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    process.stderr.write(`${error.message}\n\n${usage}`)
    process.exit(2)
  }
}

function argumentsOf() {
  const { values, positionals: names } = parsed()
  const port = Number(values.port)
  if (!/^\d{1,5}$/.test(values.port) || port > 65_535) {
    throw new Refusal(
      `--port: received ${values.port}, expected a number from 0 to 65535; 0 takes a free port`,
    )
  }
  return { ...values, port, names }
}

function parsed() {
  try {
    return parseArgs({
      options: {
        port: { type: 'string', default: '8790' },
        log: { type: 'string', default: 'memory' },
        help: { type: 'boolean', short: 'h', default: false },
      },
      allowPositionals: true,
    })
  } catch (error) {
    throw new Refusal((error as Error).message)
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
  throw new Refusal(`--log: received ${log}, expected memory, lmdb:<folder> or redis://<host>`)
}

/** Starts the server of an example, which a signal stops. */
async function start(
  name: string,
  {
    port,
    page,
    log,
    say,
  }: { port: number; page: string; log: EventLog | undefined; say(text: string): void },
): Promise<string> {
  const example: Example = await import(`./${name}/server.ts`)
  const { url, close } = await example.start({ port, page, ...(log && { log }) }).catch(error => {
    if (error.code !== 'EADDRINUSE') throw error
    throw new Refusal(`Port ${port} is in use. Name another one with --port; 0 takes a free one.`)
  })
  let isClosing = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      // A second Ctrl-C does not wait for runs that are still open.
      if (isClosing) process.exit(1)
      isClosing = true
      setTimeout(() => say('waiting for runs, 10 s at most. Ctrl-C again does not wait.'), 500)
      void close().then(() => process.exit(0))
    })
  }
  return url
}
