#!/usr/bin/env node
/** The command `twinrail`. Each command loads its own code when it is called, so that none waits for the others'. */
import { readFileSync } from 'node:fs'
import { Command, InvalidArgumentError, Option } from 'commander'
import { writeOutput } from '../process-output.ts'
import { printable } from '../protocol/printable.ts'
import {
  DEFAULT_URL,
  parseSettings,
  SettingsError,
  serveSettings,
  unknownVariables,
  variableOf,
} from './config.ts'
import { guideFlags, type Typed } from './guide-questions.ts'

const packageRoot = new URL(import.meta.url.includes('/dist/src/') ? '../../../' : '../../', import.meta.url)
const { version } = JSON.parse(readFileSync(new URL('package.json', packageRoot), 'utf8')) as {
  version: string
}

/** Exit code for wrong usage. */
const USAGE = 2

const transports = ['sse', 'websocket', 'long-poll'] as const

const program = new Command('twinrail')
  .description('Agent runs as durable sessions over SSE, WebSocket and long-poll.')
  .version(version)
  .showSuggestionAfterError()
  .showHelpAfterError('(--help lists commands and options)')
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
    writeOutput(
      process.stderr,
      `twinrail: ${name} is not a known setting; twinrail serve --help lists them\n`,
    )
  }
  // Before the server's code is loaded, which takes a second: settings that are refused are refused at once.
  const settings = parseSettings(given)
  const { serve } = await import('./serve.ts')
  await serve(settings)
})

function serverOption(): Option {
  return new Option('--url <url>', 'address of the server')
    .env('TWINRAIL_URL')
    .default(DEFAULT_URL)
    .argParser(url)
}

/** Adds the options of a command whose requests a server may refuse. */
function withCredentials(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--token <token>',
        'token or API key for the server; better given as the variable, since other users of the machine see flags',
      )
        .env('TWINRAIL_TOKEN')
        .argParser(token),
    )
    .option('--header <line>', 'header for every request, such as "cookie: …"; may be repeated', header, {})
}

/** What {@link withCredentials} was given, as headers. */
function headersOf({ token, header }: { token?: string; header: Record<string, string> }) {
  return { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...header }
}

/** A command that talks to a server. */
function clientCommand(usage: string, about: string): Command {
  return withCredentials(program.command(usage).description(about).addOption(serverOption()))
    .addOption(
      new Option('--transport <name>', 'transport for the events')
        .env('TWINRAIL_TRANSPORT')
        .choices(transports)
        .default('sse'),
    )
    .option('--json', 'print each event as one line of JSON', false)
}

clientCommand('run <agent> <input>', 'start a run and show its events; Ctrl-C cancels the run')
  .option('--session <id>', 'session to run in (default: a new one)')
  .action(async (agent: string, input: string, { session, ...options }) => {
    const { runCommand } = await import('./run.ts')
    const headers = headersOf(options)
    process.exitCode = await runCommand({
      ...terminal(),
      ...options,
      headers,
      agent,
      input,
      sessionId: session,
    })
  })

clientCommand('tail <sessionId>', 'show the events of a session; Ctrl-C stops showing them')
  .option('--after <offset>', 'start after this offset')
  .option('--last <count>', 'start this many events before the end', count)
  .option('--run <id>', 'show only this run, until it ends')
  .addOption(
    new Option('--replay <mode>', 'form of the events before now: folded, each by itself, or none').choices([
      'compact',
      'full',
      'none',
    ]),
  )
  .action(async (sessionId: string, options) => {
    const { tailCommand } = await import('./tail.ts')
    process.exitCode = await tailCommand({
      ...terminal(),
      ...options,
      headers: headersOf(options),
      sessionId,
    })
  })

withCredentials(program.command('doctor'))
  .argument('<url>', 'the address that clients use', url)
  .description('test every transport through the proxies in front of a server, and print how to fix them')
  .option(
    '--for <seconds>',
    'seconds without events, to find proxies that close idle connections',
    seconds,
    5,
  )
  .option('--json', 'print the report as JSON', false)
  .action(async (url: string, { for: silence, json, ...given }) => {
    const { doctorCommand } = await import('./doctor/doctor.ts')
    const headers = headersOf(given)
    process.exitCode = await doctorCommand({ ...terminal(), url, headers, silenceMs: silence * 1000, json })
  })

withCredentials(program.command('conformance'))
  .argument('<url>', 'the address of the server, with its prefix', url)
  .description(
    'check a server against the statements of PROTOCOL.md, on every transport; exit code 1 if one fails',
  )
  .option('--only <numbers>', 'only these statements, such as 3,41', numbers)
  .option('--json <file>', 'write the report as JSON to this file; - for standard output, without the table')
  .option('--http2', 'send requests over HTTP/2; WebSockets use HTTP/1.1', false)
  .option('--ca <file>', 'certificates to trust besides the system’s, as PEM')
  .option('--timeout <seconds>', 'time for one check', seconds, 15)
  .action(async (url: string, { token, header, timeout, ...options }) => {
    const { conformanceCommand } = await import('./conformance.ts')
    process.exitCode = await conformanceCommand({
      ...terminal(),
      ...options,
      url,
      headers: headersOf({ token, header }),
      timeoutMs: timeout * 1000,
    })
  })

const guideProgram = program
  .command('guide')
  .description('recommend a transport, with reasons; asks questions when it has no flags')
  .option('--json', 'print the recommendation as JSON; without other flags, for every scenario', false)
const guideOptions = guideFlags.map(({ name, flag, about }) => ({ name, option: new Option(flag, about) }))
for (const { option } of guideOptions) guideProgram.addOption(option)
guideProgram.action(async (given: Record<string, unknown>) => {
  const typed: Typed = {}
  for (const { name, option } of guideOptions) {
    const attribute = option.attributeName()
    if (guideProgram.getOptionValueSource(attribute) === 'cli') typed[name] = String(given[attribute])
  }
  const { guideCommand } = await import('./guide.ts')
  process.exitCode = await guideCommand({ ...terminal(), typed, json: given['json'] === true })
})

/** The options that name a log. */
function logOptions(about: string): Option[] {
  return [
    new Option(serveSettings.log.flag, about).env(variableOf('log')),
    new Option(serveSettings.redisPrefix.flag, serveSettings.redisPrefix.about).env(
      variableOf('redisPrefix'),
    ),
  ]
}

const exportCommand = withCredentials(program.command('export'))
  .argument('[sessionIds...]', 'sessions to export (default: all)')
  .description('write sessions to a file, as NDJSON with a checksum')
  .option('-o, --output <file>', 'file to write (default: standard output)')
  .addOption(serverOption())
for (const option of logOptions('read the log itself, with all records; an LMDB log must not be in use')) {
  exportCommand.addOption(option)
}
exportCommand.action(async (sessionIds: string[], { url, token, header, output, ...given }: ExportGiven) => {
  // A log in the environment is the server's; the address of a server that is typed counts more.
  const isTyped = (name: string) => exportCommand.getOptionValueSource(name) === 'cli'
  if (isTyped('url') && isTyped('log')) throw new SettingsError('--url and --log: give one of them')
  const settings = isTyped('url') || given.log === undefined ? undefined : parseSettings({ ...given })
  await reportingErrors(async () => {
    const { exportCommand } = await import('./transfer.ts')
    const ids = sessionIds.length > 0 ? sessionIds : undefined
    await exportCommand({
      ids,
      output,
      settings,
      server: { url, headers: headersOf({ ...(token !== undefined && { token }), header }) },
    })
  })
})

const importCommand = program
  .command('import')
  .argument('<file>', 'file of twinrail export')
  .description('create the sessions of an export in a log; an LMDB log must not be in use by a server')
  .addOption(
    new Option('--existing <what>', 'what to do with a session that exists')
      .choices(['refuse', 'skip', 'replace'] as const)
      .default('refuse'),
  )
  .option('--session <id>', 'another id for the session of a file that holds one')
for (const option of logOptions('log to create the sessions in')) {
  importCommand.addOption(option.makeOptionMandatory(option.attributeName() === 'log'))
}
importCommand.action(async (file: string, { session, existing, ...given }: ImportGiven) => {
  const settings = parseSettings({ ...given })
  await reportingErrors(async () => {
    const { importCommand } = await import('./transfer.ts')
    await importCommand({ file, sessionId: session, existing, settings })
  })
})

program
  .command('backup')
  .argument('<folder>', 'new or empty folder for the copy')
  .description(
    'copy an LMDB log, also while a server uses it, and check the copy; to restore, serve the copy',
  )
  .addOption(
    new Option('--log <log>', 'the log, as serve has it')
      .env(variableOf('log'))
      .default(serveSettings.log.schema.parse(undefined)),
  )
  .action(async (folder: string, { log }: { log: string }) => {
    const settings = parseSettings({ log })
    await reportingErrors(async () => {
      const { backupCommand } = await import('./transfer.ts')
      await backupCommand(settings, folder)
    })
  })

interface ExportGiven {
  url: string
  token?: string
  header: Record<string, string>
  output?: string
  log?: string
  redisPrefix?: string
}

interface ImportGiven {
  session?: string
  existing: 'refuse' | 'skip' | 'replace'
  log: string
  redisPrefix?: string
}

/** Runs `work`; prints an error as one line, and sets exit code 1. */
async function reportingErrors(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (error instanceof SettingsError) throw error
    process.stderr.write(`twinrail: ${printable((error as Error).message)}\n`)
    process.exitCode = 1
  }
}

/** The terminal of this process. `signal` aborts on the first Ctrl-C; a second one ends the process. */
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

function numbers(text: string): number[] {
  if (/^\d{1,4}(,\d{1,4})*$/.test(text)) return text.split(',').map(Number)
  throw new InvalidArgumentError('expected numbers of statements, such as 3,41')
}

function seconds(text: string): number {
  const value = Number(text)
  if (/^\d{1,4}(\.\d)?$/.test(text) && value >= 1 && value <= 3600) return value
  throw new InvalidArgumentError('expected seconds, from 1 to 3600')
}

function token(text: string): string {
  if (/^[\x21-\x7e]+$/.test(text)) return text
  // It is a secret: the message does not repeat it.
  process.stderr.write('--token: expected a token without spaces, of ASCII characters\n')
  process.exit(USAGE)
}

/** Parses one `--header` and adds it to the earlier ones. */
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
