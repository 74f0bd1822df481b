/** A scenario: a measurement of one question. */
import type { Progress } from '../progress.ts'
import type { Result } from '../report.ts'

export interface Settings {
  /** Shorter and with fewer rounds: shows that it works; do not keep the figures. */
  readonly quick: boolean
  /** Repetitions. @default depends on the scenario */
  readonly rounds?: number | undefined
  /** Folder for the CPU profile of the measured process. @default none */
  readonly profile?: string | undefined
}

export type Scenario = (settings: Settings, progress: Progress) => Promise<Result>

/** Node flags of a measured process. */
export function nodeFlags({ profile }: Settings, ...others: string[]): string[] {
  return profile === undefined ? others : [...others, '--cpu-prof', `--cpu-prof-dir=${profile}`]
}
