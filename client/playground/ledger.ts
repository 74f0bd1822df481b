/** Counts the events of each run as one rail delivers them. */

/** Runs that a ledger remembers; the oldest are forgotten first. */
const RUNS = 100

/** The events of one run, as one rail delivered them. */
export interface Entry {
  /** Number of different events; a folded one counts as those that it joins. */
  readonly seen: number
  /** Number of events that came again. */
  readonly twice: number
  /** Whether the run's terminal event came. */
  readonly ended: boolean
}

/** What a ledger reads of an event. */
export interface Counted {
  readonly type: string
  readonly offset?: string
  /** The offset of the first event that a folded one joins. */
  readonly from?: string
  readonly runId?: string
}

const none: Entry = { seen: 0, twice: 0, ended: false }
const seqOf = (offset: string) => Number(offset.slice(offset.indexOf('-') + 1))
const terminals = new Set(['run.completed', 'run.failed', 'run.cancelled'])

/** Counts what arrived by offsets alone, so that it finds what the client lost or repeated. */
export class Ledger {
  /** Sequence number of the last event. */
  seq = 0
  readonly #runs = new Map<string, { last: number; seen: number; twice: number; ended: boolean }>()

  add({ type, offset, from, runId }: Counted): void {
    if (type === 'reset') {
      this.seq = 0
      this.#runs.clear()
    }
    if (offset === undefined || !type.includes('.')) return
    this.seq = seqOf(offset)
    if (runId === undefined) return
    const run = this.#runs.get(runId) ?? { last: 0, seen: 0, twice: 0, ended: false }
    this.#runs.set(runId, run)
    const first = seqOf(from ?? offset)
    const again = Math.max(0, Math.min(this.seq, run.last) - first + 1)
    run.twice += again
    run.seen += this.seq - first + 1 - again
    run.last = Math.max(run.last, this.seq)
    run.ended ||= terminals.has(type)
    if (this.#runs.size > RUNS) this.#runs.delete(this.#runs.keys().next().value!)
  }

  of(runId: string): Entry {
    return this.#runs.get(runId) ?? none
  }
}

/** The line that compares what two rails delivered of a run with the number of events that the log has. */
export function countLine(total: number, [a, b]: readonly [Entry, Entry]): string {
  const lost = 2 * total - a.seen - b.seen
  const ending = `${lost} lost, ${a.twice + b.twice} twice`
  return a.seen === b.seen
    ? `${a.seen} of ${total} events on both rails: ${ending}`
    : `${a.seen} on rail A and ${b.seen} on rail B of ${total} events: ${ending}`
}
