/** What the workloads send: recorded events, played in an order that the seed determines. */
import { readFileSync } from 'node:fs'
import { pick, seeded } from '../random.ts'

/** An event and when it is due. */
export interface Cue {
  /** ms since the content began; never less than the cue before. */
  readonly atMs: number
  readonly type: string
  readonly data: Readonly<Record<string, unknown>>
  readonly runId?: string
  /** For clients that are connected now; never logged. */
  readonly ephemeral?: true
}

/** Cues without end, in the order of their time. */
export type Content = Generator<Cue, never, void>

/** One run, game or stretch of a recording. */
interface Take {
  /** From its begin to the begin of the next take, ms. */
  readonly lengthMs: number
  /** JSON of its events: `time` in ms since the take began, and `$run` wherever its run's id belongs. */
  readonly lines: readonly string[]
}

const traces = new Map<string, readonly Take[]>()

/** Reads `traces/<name>.ndjson`: a header, then events, with a line `{"take": <length in ms>}` after each take. */
export function takesOf(name: string): readonly Take[] {
  const known = traces.get(name)
  if (known) return known
  const text = readFileSync(new URL(`../traces/${name}.ndjson`, import.meta.url), 'utf8')
  const takes: Take[] = []
  let lines: string[] = []
  for (const line of text.trimEnd().split('\n').slice(1)) {
    if (line.startsWith('{"take":')) {
      takes.push({ lengthMs: (JSON.parse(line) as { take: number }).take, lines })
      lines = []
    } else lines.push(line)
  }
  traces.set(name, takes)
  return takes
}

/**
 * Plays takes of a recording one after the other; which ones, the seed says. A recording without runs begins somewhere
 * in its first take, so that sessions are not in step; a run is always played from its start.
 */
export function* play(name: string, seed: number): Content {
  const random = seeded(seed)
  const takes = takesOf(name)
  const hasRuns = takes.some(({ lines }) => lines.some(line => line.includes('$run')))
  let beginMs = 0
  for (let number = 1; ; number++) {
    const { lengthMs, lines } = pick(takes, random)
    const runId = `${name}-${seed}-${number}`
    if (number === 1 && !hasRuns) beginMs = -random() * lengthMs
    for (const line of lines) {
      const { time, ...event } = JSON.parse(line.replaceAll('$run', runId)) as Omit<Cue, 'atMs'> & {
        time: number
      }
      if (beginMs + time >= 0) yield { atMs: beginMs + time, ...event }
    }
    beginMs += lengthMs
  }
}

/** The cues that are due in the first `ms` of a content. */
export function during(content: Content, ms: number): Cue[] {
  const cues: Cue[] = []
  for (;;) {
    const cue = content.next().value
    if (cue.atMs >= ms) return cues
    cues.push(cue)
  }
}
