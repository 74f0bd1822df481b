/** `indexing`: what the agent `deepsearch` spends on its documents before the first answer, and when they are kept. */
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { seeded, shuffled } from '../random.ts'
import { aimFigures } from '../report.ts'
import type { DocumentHandlers, Indexed } from '../server/documents-process.ts'
import { spread } from '../stats.ts'
import { startWorker } from '../worker.ts'
import type { Scenario } from './scenario.ts'

/** Size of the corpus. */
const FILES = 5000
const BYTES = 28e6

/** Targets: CPU to index the corpus, in s, and the longest time that the server's thread is busy without a break, in ms. */
const MAX_CPU_S = 10
const MAX_BUSY_MS = 50

export const indexing: Scenario = async ({ quick, rounds = quick ? 1 : 5 }, progress) => {
  const files = quick ? FILES / 10 : FILES
  const folder = await mkdtemp(join(tmpdir(), 'twinrail-indexing-'))
  try {
    progress.at(0, 'writing documents')
    const bytes = await writeCorpus(join(folder, 'documents'), files, quick ? BYTES / 10 : BYTES)
    const anew: Indexed[] = []
    const kept: Indexed[] = []
    for (let round = 0; round < rounds; round++) {
      progress.at(round / rounds, `round ${round + 1}`)
      const cache = join(folder, `kept-${round}`)
      anew.push(await index(join(folder, 'documents'), cache))
      kept.push(await index(join(folder, 'documents'), cache))
    }
    const cpu = spread(anew.map(({ cpuS }) => cpuS))
    const busy = spread([...anew, ...kept].map(({ busyMs }) => busyMs))
    const row = (name: string, all: readonly Indexed[]) => [
      name,
      spread(all.map(({ cpuS }) => cpuS)).median,
      spread(all.map(({ wallS }) => wallS)).median,
      Math.max(...all.map(({ busyMs }) => busyMs)),
    ]
    return {
      scenario: 'indexing',
      settings: { files, bytes, rounds },
      tables: [
        {
          title: `${files} documents, ${(bytes / 1e6).toFixed(0)} MB; medians of ${rounds} rounds`,
          columns: ['', 'CPU s', 'seconds', 'longest busy ms'],
          rows: [row('read and indexed', anew), row('kept from the last start', kept)],
        },
      ],
      aims: quick
        ? []
        : [
            { what: 'CPU to index', limit: MAX_CPU_S, unit: 's', ...aimFigures(cpu) },
            {
              what: 'longest time the main thread is busy',
              limit: MAX_BUSY_MS,
              unit: 'ms',
              ...aimFigures(busy),
            },
          ],
      checks: [
        {
          what: 'no document is left out',
          holds: [...anew, ...kept].every(({ leftOut }) => leftOut.length === 0),
        },
      ],
      notes: [
        'CPU: of the whole process until the first question is answered',
        'documents: the Markdown files of the installed packages, and the same again with their lines shuffled',
      ],
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function index(folder: string, cache: string): Promise<Indexed> {
  await using worker = startWorker<DocumentHandlers>('server/documents-process')
  return await worker.call.index(folder, cache)
}

/**
 * Writes so many documents of about so many bytes in all: the Markdown files of the installed packages, and the same
 * again with their lines shuffled.
 * @returns the bytes
 */
async function writeCorpus(folder: string, files: number, bytes: number): Promise<number> {
  const texts = packageTexts()
  const random = seeded(1)
  let written = 0
  for (let n = 0; n < files; n++) {
    const text = texts[n % texts.length] as string
    const changed = n < texts.length ? text : shuffled(text.split('\n'), random).join('\n')
    // Long texts are cut, so that short ones leave room for the mean.
    const document = changed.slice(0, Math.ceil(((bytes - written) / (files - n)) * 3))
    const place = join(folder, `${Math.floor(n / 100)}`)
    if (n % 100 === 0) await mkdir(place, { recursive: true })
    await writeFile(join(place, `${n}.md`), document)
    written += Buffer.byteLength(document)
  }
  return written
}

function packageTexts(): string[] {
  const packages = fileURLToPath(new URL('../../node_modules', import.meta.url))
  const texts: string[] = []
  for (const entry of readdirSync(packages, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.md')) continue
    const text = readFileSync(join(entry.parentPath, entry.name), 'utf8')
    if (text.length > 1000) texts.push(text)
  }
  return texts
}
