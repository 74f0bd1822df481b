/** `tracing`: what an event of an agent costs with tracing off, with the API alone, and with an SDK. */
import { seeded, shuffled } from '../random.ts'
import type { TracingHandlers, TracingVariant } from '../server/tracing-process.ts'
import { median, ratio } from '../stats.ts'
import { startWorker } from '../worker.ts'
import { nodeFlags, type Scenario } from './scenario.ts'

const variants: readonly TracingVariant[] = ['off', 'api', 'sdk']

/** A long answer, as one run, and short ones, whose spans are shared by fewer events. */
const shapes = [
  { name: 'runs of 2,000 events', count: 10, events: 2000 },
  { name: 'runs of 20 events', count: 300, events: 20 },
] as const

const SEED = 19

export const tracing: Scenario = async (settings, progress) => {
  const { quick, rounds = quick ? 3 : 21 } = settings
  const random = seeded(SEED)
  const flags = nodeFlags(settings)
  const start = () => startWorker<TracingHandlers>('server/tracing-process', flags)
  await using off = start()
  await using api = start()
  await using sdk = start()
  const servers = { off, api, sdk }
  for (const variant of variants) await servers[variant].call.open(variant)
  const measure = (variant: TracingVariant, { count, events }: (typeof shapes)[number]) =>
    servers[variant].call.runs(quick ? count / 5 : count, events)
  // Code is compiled meanwhile.
  for (const shape of shapes) for (const variant of variants) await measure(variant, shape)
  const groups = shapes.map(() => [] as Record<TracingVariant, number>[])
  for (let round = 0; round < rounds; round++) {
    progress.at(round / rounds, `round ${round + 1}`)
    for (const [index, shape] of shapes.entries()) {
      const group = { off: 0, api: 0, sdk: 0 }
      for (const variant of shuffled(variants, random)) group[variant] = await measure(variant, shape)
      groups[index]?.push(group)
    }
  }
  const spans = { off: 0, api: 0, sdk: 0 }
  for (const variant of variants) spans[variant] = await servers[variant].call.spans()
  return {
    scenario: 'tracing',
    settings: { shapes, rounds, seed: SEED },
    tables: shapes.map(({ name }, index) => ({
      title: `an event in ${name}, medians of ${rounds} rounds`,
      columns: ['', 'CPU µs', '÷ off', 'lower quartile', 'upper quartile'],
      rows: variants.map(variant => {
        const of = groups[index] ?? []
        const { low, median: middle, high } = ratio(of, variant, 'off')
        return [variant, median(of.map(group => group[variant])), middle, low, high]
      }),
    })),
    aims: [],
    checks: [
      {
        what: 'only the SDK makes spans',
        holds: spans.off === 0 && spans.api === 0 && spans.sdk > 0,
      },
    ],
    notes: [
      'off: without `tracing`; api: `tracing: true` without an SDK; sdk: an SDK in batches whose exporter drops all spans',
      'CPU: user and system, of a process with one server each, in turn; the sessions have no subscribers',
    ],
  }
}
