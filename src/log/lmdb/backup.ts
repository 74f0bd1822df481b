/** Copies a log's file while a server writes to it. */
import { existsSync } from 'node:fs'
import { mkdir, open as openFile, readdir, rename, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { open } from 'lmdb'
import type { EventLog } from '../log.ts'
import { checkFolder, FILE, LogFolderError } from './folder.ts'

/** A finished backup. */
export interface Backup {
  /** Sessions in the copy. */
  readonly sessions: number
  /** Their events. */
  readonly events: number
  /** Size of the file. */
  readonly bytes: number
}

/** Where the copy is until it has been checked. A log's folder may have names that begin with a dot. */
const PARTIAL = '.partial'

/** Events that the check reads at a time. Each may have 1 MiB. */
const PAGE = 50

/**
 * Copies the file, opens the copy and reads all of it. `target` gets the file only when everything is there, so that a
 * backup that was interrupted is not taken for one.
 * @param folder of the log, which another process may have open
 * @param target a folder that is new or empty
 * @param openCopy opens the log in a folder
 * @param progress called with how many sessions and events were read
 * @throws LogFolderError when there is no log in `folder`, or `target` is not empty; `corrupt` when the copy is damaged
 */
export async function copyLog(
  folder: string,
  target: string,
  openCopy: (folder: string) => Promise<EventLog>,
  progress: (sessions: number, events: number) => void,
): Promise<Backup> {
  if (!existsSync(join(folder, FILE))) {
    throw new LogFolderError(
      'unusable',
      `there is no log in ${resolve(folder)}; name the folder of --log lmdb:<folder>`,
    )
  }
  const source = checkFolder(folder)
  await mkdir(target, { recursive: true })
  if ((await readdir(target)).some(name => !name.startsWith('.') && name !== 'lost+found')) {
    throw new LogFolderError('foreign', `the folder ${target} is not empty; name a new one for each backup`)
  }
  const partial = join(target, PARTIAL)
  await rm(partial, { recursive: true, force: true })
  await mkdir(partial)
  try {
    const copy = join(partial, FILE)
    await copyFile(source, copy)
    const log = await openCopy(partial)
    const counts = await readAll(log, progress).finally(() => log.close())
    await sync(copy)
    const { size: bytes } = await stat(copy)
    await rename(copy, join(target, FILE))
    await sync(target)
    return { ...counts, bytes }
  } finally {
    await rm(partial, { recursive: true, force: true })
  }
}

/** Copies the state of one commit, without free pages. The log's writers go on meanwhile. */
async function copyFile(source: string, copy: string): Promise<void> {
  const root = open({ path: source, noSubdir: true, readOnly: true, maxDbs: 1 })
  try {
    await root.backup(copy, true)
  } finally {
    await root.close()
  }
}

async function sync(path: string): Promise<void> {
  const file = await openFile(path, 'r')
  await file.sync().finally(() => file.close())
}

/** Reads every event of every session. @throws LogFolderError `corrupt` when something is missing or cannot be read */
async function readAll(
  log: EventLog,
  progress: (sessions: number, events: number) => void,
): Promise<Omit<Backup, 'bytes'>> {
  let sessions = 0
  let events = 0
  for (let after: string | undefined; ; ) {
    const found = await log.list(after, 100)
    for (const { sessionId, earliest, head } of found) {
      for (let last = earliest - 1; last < head; ) {
        // As many as there must be: the log itself trusts its rows to be without holes.
        const through = Math.min(head, last + PAGE)
        const page = await log.read(sessionId, last, { events: PAGE, bytes: Infinity, through })
        const isWhole = page?.events.length === through - last
        if (!isWhole || page.events.some(({ event }) => event.sessionId !== sessionId)) {
          throw new LogFolderError(
            'corrupt',
            `the copy is damaged: of the session ${sessionId}, events ${last + 1} to ${through} are not all there`,
          )
        }
        last = through
        events += page.events.length
        progress(sessions, events)
      }
      sessions++
    }
    if (found.length === 0) return { sessions, events }
    after = found.at(-1)?.sessionId
  }
}
