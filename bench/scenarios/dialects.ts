/** `dialects`: what an event costs in a stream of a foreign protocol, compared with `reply.sse` of ready-made strings. */
import { type FormName, formNames } from '../dialects/requests.ts'
import type { DialectReaderHandlers } from '../load/dialect-reader-process.ts'
import { seeded, shuffled } from '../random.ts'
import { aimFigures, quartiles } from '../report.ts'
import type { DialectsHandlers } from '../server/dialects-process.ts'
import { median, ratio, spread } from '../stats.ts'
import { startWorker } from '../worker.ts'
import { nodeFlags, type Scenario } from './scenario.ts'

/** One reader, so many events per turn, at this distance. */
const EVENTS = 1000
const EVERY_MS = 1

/** Aim: CPU of an event in a dialect's stream, in those of an event in a stream of `reply.sse`. */
const MAX_RATIO = 1.5

const AGAINST = 'reply.sse'

export const dialects: Scenario = async (settings, progress) => {
  const { quick, rounds = quick ? 2 : 12 } = settings
  const events = quick ? EVENTS / 4 : EVENTS
  await using server = startWorker<DialectsHandlers>('server/dialects-process', nodeFlags(settings))
  await using reader = startWorker<DialectReaderHandlers>('load/dialect-reader-process')
  const { twinrail, bare } = await server.call.urls()
  const whole: Record<string, number>[] = []
  const own: Record<string, number>[] = []
  const faults: string[] = []
  let turns = 0
  const turn = async (name: FormName): Promise<number> => {
    await server.call.prepare(events, EVERY_MS)
    const fault = await reader.call.read(name === AGAINST ? bare : twinrail, name, `s${turns++}`, events)
    if (fault !== undefined) faults.push(`${name}: ${fault}`)
    return server.call.cpuUs()
  }
  const alone = async (what: 'twinrail' | 'bare'): Promise<number> => {
    await server.call.prepare(events, EVERY_MS)
    return server.call.alone(what, `s${turns++}`)
  }
  for (const name of formNames) await turn(name)
  const random = seeded(1)
  for (let round = 0; round < rounds; round++) {
    const group: Record<string, number> = {}
    const parts = shuffled([...formNames, 'twinrail', 'bare'] as const, random)
    for (const [i, part] of parts.entries()) {
      progress.at((round + i / parts.length) / rounds, `round ${round + 1}, ${part}`)
      group[part] = part === 'twinrail' || part === 'bare' ? await alone(part) : await turn(part)
    }
    whole.push(group)
    const produced = (name: FormName) => group[name === AGAINST ? 'bare' : 'twinrail'] as number
    own.push(Object.fromEntries(formNames.map(name => [name, (group[name] as number) - produced(name)])))
  }
  const compared = formNames.filter(name => name !== AGAINST)
  return {
    scenario: 'dialects',
    settings: { events, everyMs: EVERY_MS, rounds },
    tables: [
      {
        title: `an event, one reader, ${1000 / EVERY_MS} events/s, CPU in µs, medians of ${rounds} rounds`,
        columns: ['', 'of the stream', 'quartiles', `: ${AGAINST}`, 'with its production', `: ${AGAINST}`],
        rows: formNames.map(name => {
          const stream = spread(own.map(group => group[name] as number))
          return [
            name,
            stream.median,
            quartiles(stream),
            ratio(own, name, AGAINST).median,
            median(whole.map(group => group[name] as number)),
            ratio(whole, name, AGAINST).median,
          ]
        }),
      },
      {
        title: 'its production without a reader, CPU in µs',
        columns: ['', 'CPU µs'],
        rows: (['twinrail', 'bare'] as const).map(what => [
          what === 'bare' ? 'a timer' : 'an agent, and the log',
          median(whole.map(group => group[what] as number)),
        ]),
      },
    ],
    aims: quick
      ? []
      : compared.map(name => ({
          what: `CPU of an event in a stream, ${name} : ${AGAINST}`,
          limit: MAX_RATIO,
          ...aimFigures(ratio(own, name, AGAINST)),
        })),
    checks: [
      {
        what: `every event of ${turns} turns arrived once and in order`,
        holds: faults.length === 0,
        ...(faults.length > 0 && { detail: faults.slice(0, 3).join('; ') }),
      },
    ],
    notes: [
      'of the stream: CPU of the server’s process while it streams, less that of a turn without a reader in the same round',
      `${AGAINST}: a bare Fastify with fastify-sse-v2; its strings are there before the turn`,
      'all in one process, one turn each in shuffled order; ratios are made within each round',
    ],
  }
}
