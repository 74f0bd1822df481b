/** Questions to the guide and its answers, the same over HTTP and on the command line. */
import { z } from 'zod'
import { chooseTransport, type Recommendation } from './choose.ts'
import { type Evidence, evidenceFor, type Measured } from './evidence.ts'
import { measured } from './measured.ts'
import { measuredNetworks } from './measured-networks.ts'
import { type ScenarioName, scenarioNames, type Transport } from './names.ts'
import { Needs } from './needs.ts'
import { recommend, scenarios, type Teaching } from './scenarios.ts'

/** A question to the guide: a scenario, needs, or both. Given needs override those of the scenario. */
export const GuideQuestion = Needs.extend({
  scenario: z.enum(scenarioNames).describe('a typical application; other needs override its own').optional(),
})
/** See the schema of the same name. */
export type GuideQuestion = Needs & { scenario?: ScenarioName | undefined }

/** {@link GuideQuestion} as text in a URL's query or on a command line: `5`, `0.5`, `true`, `false`. */
export const GuideQuery = z.preprocess(
  query =>
    Object.fromEntries(
      Object.entries(query as Record<string, unknown>).map(([name, value]) => [name, fromText(value)]),
    ),
  GuideQuestion,
)

const transport = z.enum(['sse', 'websocket', 'long-poll'] satisfies Transport[])
const range = z.object({ median: z.number(), low: z.number(), high: z.number() })
const figure = z
  .object({ unit: z.string(), sse: range, websocket: range, 'long-poll': range })
  .partial({ sse: true, websocket: true, 'long-poll': true })

/** The schema of an answer of the guide. */
export const Advice = z.object({
  scenario: z.enum(scenarioNames).optional().describe('The scenario of the question; absent without one'),
  title: z.string().optional(),
  about: z.string().optional().describe('The scenario in a sentence or two'),
  needs: Needs.describe(
    "What the recommendation is based on: the scenario's needs, with those of the question",
  ),
  transport,
  because: z
    .array(z.object({ rule: z.string(), text: z.string() }))
    .describe('All reasons, at least one, in the order of the rules'),
  fallback: z.array(transport).describe('The other transports that can work, the best first'),
  evidence: z
    .array(z.object({ id: z.string(), text: z.string(), figure }))
    .describe('The measured figures that support the reasons; empty before the first run of the benchmark'),
  measured: z
    .object({
      date: z.string(),
      machine: z.string(),
      networks: z
        .object({ date: z.string(), machine: z.string() })
        .optional()
        .describe('The same of the figures of `networks/…`; absent without them'),
    })
    .optional()
    .describe('The day and the machine of the measurement; absent without figures'),
  teaching: z
    .object({
      transport,
      reason: z.string(),
      holds: z.enum(['yes', 'in part', 'no']),
      because: z.string(),
    })
    .optional()
    .describe(
      'What the tutorial recommends for the scenario; absent for scenarios that the tutorial does not have',
    ),
})

/** When and where figures were measured. */
export type Origin = Pick<Measured, 'date' | 'machine'>

/** An answer of the guide. */
export interface Advice extends Omit<Recommendation, 'evidence'> {
  /** The scenario of the question; absent without one. */
  scenario?: ScenarioName
  /** The scenario's title. */
  title?: string
  /** The scenario in a sentence or two. */
  about?: string
  /** The needs that the recommendation is based on: the scenario's, with those of the question. */
  needs: Needs
  /** The measured figures that support the reasons; empty before the first run of the benchmark. */
  evidence: Evidence[]
  /** The day and the machine of the measurement; absent without figures. Those of `networks/…` may be of another one. */
  measured?: Origin & { networks?: Origin }
  /** What the tutorial recommends for the scenario; absent for scenarios that the tutorial does not have. */
  teaching?: Teaching
}

/**
 * Recommends a transport, with all reasons and the measured figures. Does not throw.
 * @param figures the figures to cite; by default those of the last committed run of the benchmark
 * @param networks the same of the imitated network
 */
export function advise(
  { scenario: name, ...more }: GuideQuestion,
  figures: Measured = measured,
  networks: Measured = measuredNetworks,
): Advice {
  const scenario = name && scenarios[name]
  const choice = name ? recommend(name, more) : chooseTransport(more)
  const all = { ...figures.figures, ...networks.figures }
  const evidence = evidenceFor(choice.evidence, { ...figures, figures: all })
  const ofNetworks = evidence.some(({ id }) => id.startsWith('networks/'))
  const origin = ({ date, machine }: Measured): Origin => ({ date, machine })
  return {
    ...(name && scenario && { scenario: name, title: scenario.title, about: scenario.about }),
    needs: { ...scenario?.needs, ...more },
    ...choice,
    evidence,
    ...(evidence.length > 0 && {
      measured: { ...origin(figures), ...(ofNetworks && { networks: origin(networks) }) },
    }),
    ...(scenario?.teaching && { teaching: scenario.teaching }),
  }
}

/** The answers of {@link advise} for all scenarios, in the order of {@link scenarioNames}. */
export function adviseOnAll(figures: Measured = measured, networks: Measured = measuredNetworks): Advice[] {
  return scenarioNames.map(scenario => advise({ scenario }, figures, networks))
}

/** Converts text to a number or a boolean. Other values are returned unchanged; the schema refuses them. */
function fromText(value: unknown): unknown {
  if (typeof value !== 'string') return value
  if (/^\d{1,9}(\.\d{1,9})?$/.test(value)) return Number(value)
  return value === 'true' || (value === 'false' ? false : value)
}
