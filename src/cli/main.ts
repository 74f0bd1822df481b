#!/usr/bin/env node
/** The command `twinrail`. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Command, InvalidArgumentError, Option } from 'commander'
import { archiveLines, importArchive, readArchive } from '../sessions/archive.ts'
import {
  openLog,
  parseSettings,
  SettingsError,
  serveSettings,
  unknownVariables,
  variableOf,
} from './config.ts'
import { doctorCommand } from './doctor/doctor.ts'
import { download } from './download.ts'
import { guideCommand } from './guide.ts'
import { guideFlags, type Typed } from './guide-questions.ts'
import { runCommand } from './run.ts'
import { DEFAULT_URL, serve } from './serve.ts'
import { tailCommand } from './tail.ts'

const packageRoot = new URL(import.meta.url.includes('/dist/src/') ? '../../../' : '../../', import.meta.url)
const { version } = JSON.parse(readFileSync(new URL('package.json', packageRoot), 'utf8')) as {
  version: string
}

/** Exit code of bad usage. */
const USAGE = 2

const transports = ['sse', 'websocket', 'long-poll'] as const

const program = new Command('twinrail')
  .description('Agent runs as durable sessions over SSE, WebSocket and long-poll.')
  .version(version)
  .showSuggestionAfterError()
  .showHelpAfterError('(--help lists what there is)')
  .exitOverride(error => {
    process.exit(error.exitCode === 0 ? 0 : USAGE)
  })

const serveCommand = program.command('serve').description('start the server')
for (const [name, { flag, about, schema }] of Object.entries(serveSettings)) {
  const preset = schema.safeParse(undefined).data
  const shown =
    preset === undefined || Array.isArray(preset) || preset === false ? '' : ` (default: ${preset})`
  serveCommand.addOption(new Option(flag, `${about}${shown}`).env(variableOf(name)))
}
serveCommand.action(async (given: Record<string, unknown>) => {
  for (const name of unknownVariables(process.env)) {
    process.stderr.write(`twinrail: ${name} is no setting of mine; --help lists them\n`)
  }
  await serve(parseSettings(given))
})

function serverOption(): Option {
  return new Option('--url <url>', 'the server').env('TWINRAIL_URL').default(DEFAULT_URL).argParser(url)
}

/** A command that talks to a server. */
function clientCommand(usage: string, about: string): Command {
  return program
    .command(usage)
    .description(about)
    .addOption(serverOption())
    .addOption(
      new Option('--transport <name>', 'how events come')
        .env('TWINRAIL_TRANSPORT')
        .choices(transports)
        .default('sse'),
    )
    .option('--json', 'print one event a line, as JSON', false)
}

clientCommand('run <agent> <input>', 'start a run and watch it; Ctrl-C cancels it')
  .option('--session <id>', 'the session to run in (default: a new one)')
  .action(async (agent: string, input: string, { session, ...options }) => {
    process.exitCode = await runCommand({ ...terminal(), ...options, agent, input, sessionId: session })
  })

clientCommand('tail <sessionId>', 'watch a session; Ctrl-C leaves it as it is')
  .option('--after <offset>', 'start after this offset')
  .option('--last <count>', 'start so many events before the end', count)
  .option('--run <id>', 'only this run, to its end')
  .addOption(new Option('--replay <how>', 'the backlog').choices(['compact', 'full', 'none']))
  .action(async (sessionId: string, options) => {
    process.exitCode = await tailCommand({ ...terminal(), ...options, sessionId })
  })

program
  .command('doctor')
  .argument('<url>', 'the address that clients use', url)
  .description('try every transport through whatever lies between, and say what to mend')
  .option('--for <seconds>', 'how long to be silent, to see whether something cuts in', seconds, 5)
  .option(
    '--header <line>',
    'sent with every request, such as "authorization: Bearer …"; any number',
    header,
    {},
  )
  .option('--json', 'print the findings as JSON', false)
  .action(async (url: string, { for: silence, header: headers, json }) => {
    process.exitCode = await doctorCommand({ ...terminal(), url, headers, silenceMs: silence * 1000, json })
  })

const guideProgram = program
  .command('guide')
  .description('which transport to take, and why; without flags it asks')
  .option('--json', 'print the answer as JSON; without other flags for every scenario', false)
const guideOptions = guideFlags.map(({ name, flag, about }) => ({ name, option: new Option(flag, about) }))
for (const { option } of guideOptions) guideProgram.addOption(option)
guideProgram.action(async (given: Record<string, unknown>) => {
  const typed: Typed = {}
  for (const { name, option } of guideOptions) {
    const attribute = option.attributeName()
    if (guideProgram.getOptionValueSource(attribute) === 'cli') typed[name] = String(given[attribute])
  }
  process.exitCode = await guideCommand({ ...terminal(), typed, json: given['json'] === true })
})

program
  .command('export <sessionId>')
  .description('write a session to standard output as NDJSON, sealed with a checksum')
  .addOption(serverOption())
  .action(async (sessionId: string, { url }: { url: string }) => {
    await failing(async () => {
      const { events, ...header } = await download(url, sessionId)
      for await (const line of archiveLines(header, events)) {
        if (!process.stdout.write(line)) await once(process.stdout, 'drain')
      }
    })
  })

program
  .command('import <file>')
  .description('make the session of an export in a log (in a folder: while no server uses it)')
  .addOption(new Option(serveSettings.log.flag, 'the log').env(variableOf('log')).makeOptionMandatory())
  .option('--session <id>', 'under this id (default: its own)')
  .action(async (file: string, { log: driver, session }: { log: string; session?: string }) => {
    const settings = parseSettings({ log: driver })
    await failing(async () => {
      const archive = readArchive(readFileSync(file, 'utf8'))
      const log = await openLog(settings.log, message => process.stderr.write(`twinrail: ${message}\n`))
      try {
        const made = await importArchive(log, archive, session)
        process.stdout.write(`${made.sessionId}: ${made.events} events\n`)
      } finally {
        await log.close()
      }
    })
  })

/** Tells what went wrong in a line, and exits 1 in the end. */
async function failing(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (error instanceof SettingsError) throw error
    process.stderr.write(`twinrail: ${(error as Error).message}\n`)
    process.exitCode = 1
  }
}

/** This process's terminal; its signal aborts on Ctrl-C, a second one ends the process. */
function terminal() {
  const interrupt = new AbortController()
  process.once('SIGINT', () => interrupt.abort())
  const { stdout, stderr, stdin } = process
  return { stdout, stderr, stdin, signal: interrupt.signal }
}

function url(text: string): string {
  if (URL.canParse(text) && /^https?:/.test(text)) return text
  throw new InvalidArgumentError('expected a URL such as http://127.0.0.1:8787')
}

function count(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected a whole number')
}

function seconds(text: string): number {
  const value = Number(text)
  if (/^\d{1,4}(\.\d)?$/.test(text) && value >= 1 && value <= 3600) return value
  throw new InvalidArgumentError('expected seconds, from 1 to 3600')
}

/** Adds a header to those that were given before it. */
function header(line: string, before: Record<string, string>): Record<string, string> {
  const [, name, value] = /^([\w-]+):\s*([\t\x20-\x7e]+)$/.exec(line) ?? []
  if (name !== undefined && value !== undefined) return { ...before, [name.toLowerCase()]: value }
  throw new InvalidArgumentError('expected "name: value"')
}

try {
  await program.parseAsync()
} catch (error) {
  if (!(error instanceof SettingsError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exit(USAGE)
}
