/** Writers: of the producers that name the same writer, only the one with the newest epoch may append. PROTOCOL.md, "Ingest". */
import type { Journal } from '../bus/journal.ts'
import { keys } from '../log/keys.ts'
import type { OnceKey } from '../log/log.ts'
import { TwinrailError } from '../protocol/index.ts'

/** A producer's claim to be the only one of its name. */
export interface Writer {
  name: string
  /** From 1 on, without a hole. The first append of an epoch ends the epochs before it. */
  epoch: number
}

/** The note under `writer:<principal>:<name>:<epoch>`: the producer that the epoch belongs to. */
interface WriterNote {
  producer: string
}

/**
 * The conditions under which a producer appends as this writer: its epoch is its own and the newest one. Of a producer that
 * was replaced the log refuses all but what it has already.
 * @throws TwinrailError `conflict` with `details {writer, epoch}`, the newest epoch, 0 when there is none
 */
export async function writerConditions(
  journal: Journal,
  sessionId: string,
  principal: string,
  producer: string,
  { name, epoch }: Writer,
): Promise<{ once: OnceKey[]; absent: string[] }> {
  const keyOf = (epoch: number) => keys.writer(principal, name, epoch)
  const holder = holderIn(journal, sessionId, principal, name)
  const [before, own, after] = await Promise.all([epoch - 1, epoch, epoch + 1].map(holder))
  const absent = [keyOf(epoch + 1)]
  if (own?.producer === producer) return { once: [], absent }
  if (!own && !after && (before || epoch === 1)) {
    const note: WriterNote = { producer }
    return { once: [{ key: keyOf(epoch), note, index: 0 }], absent }
  }
  throw fenced(name, await newestEpoch(holder))
}

/** The error of a producer whose append was refused, since another one has a newer epoch. */
export async function replaced(
  journal: Journal,
  sessionId: string,
  principal: string,
  name: string,
): Promise<TwinrailError> {
  return fenced(name, await newestEpoch(holderIn(journal, sessionId, principal, name)))
}

function holderIn(journal: Journal, sessionId: string, principal: string, name: string) {
  return async (epoch: number): Promise<WriterNote | undefined> => {
    const [entry] = await journal.lookup(sessionId, [keys.writer(principal, name, epoch)])
    return entry?.note as WriterNote | undefined
  }
}

/** The error of a producer that is not, or no longer, the newest one of its writer. */
function fenced(name: string, epoch: number): TwinrailError {
  return new TwinrailError(
    'conflict',
    `the newest epoch of the writer is ${epoch}: a newer producer has taken over, or this one skipped an epoch`,
    { details: { writer: name, epoch } },
  )
}

/** Epochs have no holes, so a binary search finds the newest one. */
async function newestEpoch(holder: (epoch: number) => Promise<unknown>): Promise<number> {
  let low = 0
  let high = 1
  while (await holder(high)) {
    low = high
    high *= 2
  }
  while (low + 1 < high) {
    const middle = Math.floor((low + high) / 2)
    if (await holder(middle)) low = middle
    else high = middle
  }
  return low
}
