/** What the workloads send: events that really mean something, the same for the same seed. */

/** An event and when it is due. */
export interface Cue {
  /** ms from the begin of the content; never less than the cue before. */
  readonly atMs: number
  readonly type: string
  readonly data: Readonly<Record<string, unknown>>
  readonly runId?: string
  /** For who is connected now, never logged. */
  readonly ephemeral?: true
}

/**
 * Cues without end, in the order of their time. Making them costs time (a game is really played, a network really
 * trained): take them before the clock runs.
 */
export type Content = Generator<Cue, never, void>

/** The cues that are due in the first `ms` of a content. */
export function during(content: Content, ms: number): Cue[] {
  const cues: Cue[] = []
  for (;;) {
    const cue = content.next().value
    if (cue.atMs >= ms) return cues
    cues.push(cue)
  }
}

/** Events of one run. */
export const cueOf =
  (runId: string) =>
  (atMs: number, type: string, data: Cue['data']): Cue => ({
    atMs: Math.round(atMs * 10) / 10,
    type,
    runId,
    data,
  })

/** A pause whose lengths are spread as those between independent happenings, at most five times the mean. */
export const pause = (random: () => number, mean: number) =>
  Math.min(5 * mean, -Math.log(1 - random()) * mean)

/** One of the items. */
export const pick = <T>(items: readonly T[], random: () => number): T =>
  items[Math.floor(random() * items.length)] as T
