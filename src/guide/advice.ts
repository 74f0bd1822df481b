/** What the guide is asked and what it answers, over HTTP as on the command line. */
import { z } from 'zod'
import { chooseTransport, type Recommendation } from './choose.ts'
import { type Evidence, evidenceFor, type Measured } from './evidence.ts'
import { measured } from './measured.ts'
import { type ScenarioName, scenarioNames } from './names.ts'
import { Needs } from './needs.ts'
import { recommend, scenarios, type Teaching } from './scenarios.ts'

/** A scenario, needs, or a scenario with needs of one's own beside. */
export const GuideQuestion = Needs.extend({
  scenario: z.enum(scenarioNames).describe('what is built; other needs override its own').optional(),
})
export type GuideQuestion = Needs & { scenario?: ScenarioName | undefined }

/** {@link GuideQuestion} as it stands in a URL's query or on a command line: `5`, `0.5`, `true`, `false`. */
export const GuideQuery = z.preprocess(
  query =>
    Object.fromEntries(
      Object.entries(query as Record<string, unknown>).map(([name, value]) => [name, fromText(value)]),
    ),
  GuideQuestion,
)

export interface Advice extends Omit<Recommendation, 'evidence'> {
  scenario?: ScenarioName
  title?: string
  about?: string
  /** What it was judged by. */
  needs: Needs
  /** Measured figures; none before the first run of the benchmark. */
  evidence: Evidence[]
  /** When and where the figures were measured. */
  measured?: Pick<Measured, 'date' | 'machine'>
  teaching?: Teaching
}

/** Recommends a transport, with all reasons and what was measured. */
export function advise({ scenario: name, ...more }: GuideQuestion, figures: Measured = measured): Advice {
  const scenario = name && scenarios[name]
  const choice = name ? recommend(name, more) : chooseTransport(more)
  const evidence = evidenceFor(choice.evidence, figures)
  const { date, machine } = figures
  return {
    ...(name && scenario && { scenario: name, title: scenario.title, about: scenario.about }),
    needs: { ...scenario?.needs, ...more },
    ...choice,
    evidence,
    ...(evidence.length > 0 && { measured: { date, machine } }),
    ...(scenario?.teaching && { teaching: scenario.teaching }),
  }
}

/** {@link advise} on every scenario. */
export function adviseOnAll(figures: Measured = measured): Advice[] {
  return scenarioNames.map(scenario => advise({ scenario }, figures))
}

/** Leaves what is neither a number nor yes or no for the schema to refuse. */
function fromText(value: unknown): unknown {
  if (typeof value !== 'string') return value
  if (/^\d{1,9}(\.\d{1,9})?$/.test(value)) return Number(value)
  return value === 'true' || (value === 'false' ? false : value)
}
