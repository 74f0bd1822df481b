/** Connections that something on the way closed. */
import type { Examination } from './examine.ts'
import { ms, type Way } from './report.ts'
import type { Sighting } from './sighting.ts'
import { median } from './time.ts'

export interface Cut {
  /** Of silence, or of age whatever is said. */
  code: 'cut-idle' | 'cut-age'
  ways: Way[]
  afterMs: number
  says: string
}

/** A stream that is pinged every second tells the two kinds apart: it outlives the silent one unless age is what counts. */
export function cutIn({ sse, beating, websocket, longPoll }: Examination): Cut | undefined {
  const watched: [Way, Sighting][] = [
    ['sse', sse],
    ['websocket', websocket],
    ['long-poll', longPoll],
  ]
  const cut = watched.filter(([, { cutAt }]) => cutAt !== undefined)
  if (cut.length === 0) return undefined
  const ways = cut.map(([way]) => way)
  const usual = (since: (wire: Sighting) => number) =>
    median(cut.map(([, wire]) => (wire.cutAt ?? 0) - since(wire)))
  const ageOf = ({ cutAt = Number.POSITIVE_INFINITY, askedAt }: Sighting) => cutAt - askedAt
  if (ageOf(sse) < Number.POSITIVE_INFINITY && ageOf(beating) < 1.5 * ageOf(sse)) {
    const afterMs = usual(({ askedAt }) => askedAt)
    return { code: 'cut-age', ways, afterMs, says: `cut after ${ms(afterMs)}, whatever is said on it` }
  }
  const afterMs = usual(({ lastByteAt }) => lastByteAt)
  return { code: 'cut-idle', ways, afterMs, says: `cut after ${ms(afterMs)} of silence` }
}
