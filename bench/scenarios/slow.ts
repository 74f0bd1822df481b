/** `slow`: what slow subscribers cost the server and the other subscribers, under every lag policy. */
import type { Held } from '../load/text-subscriber-process.ts'
import { type Dial, wires } from '../peers/peer.ts'
import { type Aim, aimFigures, type Check, type Table } from '../report.ts'
import { median, spread } from '../stats.ts'
import { nodeFlags, type Scenario } from './scenario.ts'
import { catchUp } from './slow-catch-up.ts'
import { type Policy, type SlowRun, slowRun } from './slow-run.ts'
import { waitForSlowest } from './slow-wait.ts'

const MB = 1e6

/** Target for the resident memory of 20 slow subscribers, MB. */
const MEMORY_AIM_MB = 8

/** Pace of the subscriber that a producer waits for, bytes per second. */
const WAIT_PACE = 2 * MB

/** All runs of one transport and policy; `control` has no slow subscribers. */
interface Runs {
  wire: Dial['wire']
  policy: Policy | 'control'
  found: SlowRun[]
}

export const slow: Scenario = async (settings, progress) => {
  const { quick, rounds = quick ? 1 : 3 } = settings
  const flags = nodeFlags(settings)
  const whole = { events: 200_000, messages: 50, perTurn: 40, perSecond: 12_500 }
  // More than the 4 MB that the kernel buffers for a stalled connection.
  const publishing = quick ? { ...whole, events: 48_000, perSecond: 20_000 } : whole
  const subscribers = 100
  const paces = [...Array<number>(10).fill(0), ...Array<number>(10).fill(2048)]
  // Subscribers that never read hold producers back for the full 30 s.
  const policies = (['control', 'conflate', 'skip', 'disconnect', 'wait'] as const).filter(
    policy => !(quick && policy === 'wait'),
  )
  const all: Runs[] = wires.flatMap(wire => policies.map(policy => ({ wire, policy, found: [] })))
  const catchUpRounds = quick ? 1 : 7
  const steps = rounds * all.length + 2 * wires.length
  let step = 0
  for (let round = 0; round < rounds; round++) {
    for (const { wire, policy, found } of all) {
      progress.at(step++ / steps, `${wire}, ${policy}`)
      const isControl = policy === 'control'
      found.push(
        await slowRun({
          wire,
          policy: isControl ? 'conflate' : policy,
          healthy: isControl ? subscribers : subscribers - paces.length,
          paces: isControl ? [] : paces,
          publishing: { ...publishing, waits: policy === 'wait' },
          flags,
        }),
      )
    }
  }
  const aims = all.filter(({ policy }) => policy !== 'control').flatMap(runs => aimsOf(runs, all))
  const checks = all.flatMap(checksOf)
  const parts: Table['rows'][number][] = []
  for (const wire of wires) {
    progress.at(step++ / steps, `${wire}, slow subscribers catch up`)
    const { manyMs, oneMs, exact } = await catchUp(wire, paces.length, whole, catchUpRounds, flags)
    const many = `${wire}: ${paces.length} slow subscribers catch up together`
    parts.push([`${many}, CPU ms against one`, median(manyMs), median(oneMs)])
    aims.push({
      what: `${many} : one`,
      limit: 2,
      ...aimFigures(spread(manyMs.map((ms, i) => ms / (oneMs[i] as number)))),
    })
    checks.push({ what: `${many}: they hold the exact text`, holds: exact })

    progress.at(step++ / steps, `${wire}, a producer waits`)
    const waited = await waitForSlowest(wire, WAIT_PACE, whole, flags)
    const { producerRate, subscriberRate, heldSeconds, complete } = waited
    parts.push([
      `${wire}: events/s of a producer that waits against its subscriber's`,
      producerRate,
      subscriberRate,
    ])
    aims.push({
      what: `${wire}: rate of a producer that waits : its slowest subscriber's`,
      limit: 1.1,
      measured: producerRate / subscriberRate,
    })
    checks.push(
      { what: `${wire}: a producer waits: its subscriber got every event, unfolded`, holds: complete },
      {
        what: `${wire}: the producer was faster than its subscriber, so that it had to wait`,
        holds: heldSeconds > 0,
        detail: `held for ${heldSeconds.toFixed(1)} s`,
        ofMachine: true,
      },
    )
  }
  return {
    scenario: 'slow',
    settings: { ...publishing, subscribers, paces, waitPace: WAIT_PACE, rounds, catchUpRounds },
    tables: [
      table(all),
      { title: 'Catching up and waiting', columns: ['', 'measured', 'against'], rows: parts },
    ],
    aims,
    checks,
    notes: [
      `${subscribers} subscribers, of which ${paces.length / 2} read nothing and ${paces.length / 2} read 2 KB/s; control: all read everything`,
      'memory: resident set of the server process once all is published and all garbage collected, slow subscribers still behind',
      'delays: from when an event was due to when a healthy subscriber had it, one of ten timed; medians of the rounds',
      'catching up: nothing that is folded for a slow subscriber was folded before; one and many by turns, servers of their own',
      ...(quick
        ? ['left out of --quick: wait with subscribers that never read, which holds its producers for 30 s']
        : []),
    ],
  }
}

const over = (runs: Runs, of: (found: SlowRun) => number) => median(runs.found.map(of))

function table(all: readonly Runs[]): Table {
  const slowest = (runs: Runs, of: (held: Held) => number) =>
    over(runs, ({ held }) => (held.length > 0 ? median(held.map(of)) : Number.NaN))
  return {
    title: 'Slow subscribers',
    columns: [
      '',
      'end MB',
      'peak MB',
      'p50 ms',
      'p99 ms',
      'publishing s',
      'held s',
      'received',
      'skipped',
      'folds',
    ],
    rows: all.map(runs => [
      `${runs.wire}, ${runs.policy}`,
      over(runs, ({ resident }) => resident / MB),
      over(runs, ({ published }) => published.peak / MB),
      over(runs, ({ delivery }) => delivery.delays[0]),
      over(runs, ({ delivery }) => delivery.delays[1]),
      over(runs, ({ published }) => published.seconds),
      over(runs, ({ published }) => published.heldSeconds),
      slowest(runs, ({ received }) => received),
      slowest(runs, ({ skipped }) => skipped),
      slowest(runs, ({ folds }) => folds),
    ]),
  }
}

function aimsOf(runs: Runs, all: readonly Runs[]): Aim[] {
  const control = all.find(({ wire, policy }) => wire === runs.wire && policy === 'control') as Runs
  const each = runs.found.map((found, i) => ({ found, baseline: control.found[i] as SlowRun }))
  return [
    {
      what: `${runs.wire}, ${runs.policy}: memory over control`,
      limit: MEMORY_AIM_MB,
      ...aimFigures(spread(each.map(({ found, baseline }) => (found.resident - baseline.resident) / MB))),
      unit: ' MB',
    },
    {
      what: `${runs.wire}, ${runs.policy}: p99 of the healthy : control`,
      limit: 1.25,
      ...aimFigures(
        spread(each.map(({ found, baseline }) => found.delivery.delays[1] / baseline.delivery.delays[1])),
      ),
    },
  ]
}

function checksOf({ wire, policy, found }: Runs): Check[] {
  const healthy = {
    what: `${wire}, ${policy}: every healthy subscriber got every event once, in order`,
    holds: found.every(({ delivery }) => delivery.complete),
  }
  const promise = policy === 'control' ? undefined : promises[policy]
  if (!promise) return [healthy]
  const broken = found.flatMap(({ published, held }) => held.filter(one => !promise.holds(one, published)))
  const detail = broken[0] && `${broken.length} do not, such as ${JSON.stringify(broken[0])}`
  return [
    healthy,
    { what: `${wire}, ${policy}: ${promise.what}`, holds: broken.length === 0, ...(detail && { detail }) },
  ]
}

const holdExactText = {
  what: 'slow subscribers hold the exact text',
  holds: (held: Held, { head, text }: SlowRun['published']) =>
    held.seq === head && held.faults === 0 && held.text === text,
}

/** What each policy guarantees a slow subscriber, checked once it has read everything that it can get. */
const promises: Record<
  Policy,
  { what: string; holds(held: Held, published: SlowRun['published']): boolean }
> = {
  conflate: holdExactText,
  wait: holdExactText,
  skip: {
    what: 'received and skipped are what was published',
    holds: (held, { head }) => held.faults === 0 && held.skipped > 0 && held.received + held.skipped === head,
  },
  disconnect: {
    what: 'slow subscribers got `too-slow`, and nothing is missing before it',
    holds: held => held.faults === 0 && held.farewell === 'too-slow',
  },
}
