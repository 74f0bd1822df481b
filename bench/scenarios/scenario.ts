/** What a scenario is. */
import type { Progress } from '../progress.ts'
import type { Result } from '../report.ts'

export interface Settings {
  /** Less of everything: shows that it works; the figures are not worth keeping. */
  readonly quick: boolean
  /** How often the measurement is repeated; a default of each scenario's own. */
  readonly rounds?: number | undefined
  /** Where the measured process leaves its CPU profile. */
  readonly profile?: string | undefined
}

export type Scenario = (settings: Settings, progress: Progress) => Promise<Result>

/** Flags for node in a measured process. */
export function nodeFlags({ profile }: Settings, ...others: string[]): string[] {
  return profile === undefined ? others : [...others, '--cpu-prof', `--cpu-prof-dir=${profile}`]
}
