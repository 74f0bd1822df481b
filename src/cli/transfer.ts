/** `twinrail export`, `import` and `backup`: sessions and logs as files. */
import { createReadStream, createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { Journal } from '../bus/journal.ts'
import { writeOutput } from '../process-output.ts'
import { copiesOf, type SessionCopy } from '../sessions/archive/copies.ts'
import { type ImportOptions, importArchive } from '../sessions/archive/import.ts'
import { archiveLines, type Progress } from '../sessions/archive/write.ts'
import { type ServeSettings, SettingsError } from './config.ts'
import { downloads, type ServerAddress } from './download.ts'
import { openLog } from './open-log.ts'
import { counted } from './text.ts'

/** How often the progress is told, from the first time on, in ms. */
const PROGRESS_MS = 2000

function warn(message: string): void {
  writeOutput(process.stderr, `twinrail: ${message}\n`)
}

/** Says every {@link PROGRESS_MS} how far a job has come; nothing when it ends before. */
function progressOf(what: string): Progress {
  let saidAt = performance.now()
  return (sessions, events) => {
    const now = performance.now()
    if (now - saidAt < PROGRESS_MS) return
    saidAt = now
    warn(`${what}: ${counted(sessions, 'session')}, ${counted(events, 'event')} so far`)
  }
}

export interface ExportOptions {
  ids: readonly string[] | undefined
  /** @default standard output */
  output: string | undefined
  /** The log to read; the server is asked without it. */
  settings: ServeSettings | undefined
  server: ServerAddress
}

export async function exportCommand({ ids, output, settings, server }: ExportOptions): Promise<void> {
  if (!settings) return write('server', downloads(server, ids), output)
  mustOutlive(settings, 'export')
  await withLog(settings, journal => write('log', copiesOf(journal, ids), output))
}

async function withLog(settings: ServeSettings, work: (journal: Journal) => Promise<void>): Promise<void> {
  const log = await openLog(settings, warn)
  try {
    await work(new Journal(log))
  } finally {
    await log.close()
  }
}

async function write(
  source: 'log' | 'server',
  copies: AsyncIterable<SessionCopy>,
  output: string | undefined,
): Promise<void> {
  const lines = Readable.from(archiveLines(source, copies, progressOf('exported')))
  if (output === undefined) await pipeline(lines, process.stdout, { end: false })
  // A file that is there may be the last good export.
  else await pipeline(lines, createWriteStream(output, { flags: 'wx' }))
}

export interface ImportCommand {
  file: string
  sessionId: string | undefined
  existing: NonNullable<ImportOptions['existing']>
  settings: ServeSettings
}

export async function importCommand({ file, sessionId, existing, settings }: ImportCommand): Promise<void> {
  mustOutlive(settings, 'import')
  await withLog(settings, async journal => {
    const open = () => createReadStream(file)
    const progress = progressOf('imported')
    const done = await importArchive(journal, open, { existing, sessionId, progress })
    for (const id of done.renewed) {
      warn(
        `the epoch of the session ${id} was in use: it has a new one, so its clients read it from the start`,
      )
    }
    const skipped = done.skipped > 0 ? `, ${done.skipped} skipped` : ''
    process.stdout.write(`${counted(done.sessions, 'session')}, ${counted(done.events, 'event')}${skipped}\n`)
  })
}

export async function backupCommand(settings: ServeSettings, folder: string): Promise<void> {
  const driver = settings.log
  if (!driver.startsWith('lmdb:')) {
    throw new SettingsError(
      '--log: backup copies LMDB logs; for Redis use its own snapshots, or twinrail export for any log',
    )
  }
  const { backupLmdb } = await import('../log/lmdb.ts')
  const progress = progressOf('checked')
  const { sessions, events, bytes } = await backupLmdb(driver.slice('lmdb:'.length), folder, progress)
  process.stdout.write(
    `${folder}: ${counted(sessions, 'session')}, ${counted(events, 'event')}, ${bytes} bytes; checked\n`,
  )
}

/** @throws SettingsError for a log that ends with this process */
function mustOutlive(settings: ServeSettings, command: string): void {
  if (settings.log === 'memory') {
    const instead = command === 'export' ? '; a running server is exported with --url' : ''
    throw new SettingsError(`--log: memory is a log of one process, which ends with it${instead}`)
  }
}
