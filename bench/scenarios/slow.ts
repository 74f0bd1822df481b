/** `slow`: what slow subscribers cost the server and the other subscribers, under every lag policy. */
import type { Held } from '../load/text-subscriber-process.ts'
import type { Dial } from '../peers/peer.ts'
import type { Aim, Check, Table } from '../report.ts'
import { median, spread } from '../stats.ts'
import { nodeFlags, type Scenario } from './scenario.ts'
import { waitFor, wake } from './slow-extras.ts'
import { type Policy, type SlowRunFound, slowRun } from './slow-run.ts'

const wires = ['sse', 'websocket'] as const satisfies Dial['wire'][]
const MB = 1e6

/** Target for the resident memory of 20 slow readers, MB. */
const MEMORY_AIM_MB = 8

/** All runs of one transport and policy; `control` has no slow readers. */
interface Runs {
  wire: Dial['wire']
  policy: Policy | 'control'
  found: SlowRunFound[]
}

export const slow: Scenario = async (settings, progress) => {
  const { quick, rounds = quick ? 1 : 3 } = settings
  const flags = nodeFlags(settings)
  const whole = { events: 200_000, messages: 50, perTurn: 40, perSecond: 12_500 }
  // More than the 4 MB that the kernel buffers for a stalled connection.
  const publishing = quick ? { ...whole, events: 48_000, perSecond: 20_000 } : whole
  const subscribers = 100
  const paces = [...Array<number>(10).fill(0), ...Array<number>(10).fill(2048)]
  const waitPace = (quick ? 5 : 2) * MB
  // Subscribers that never read hold producers back for the full 30 s.
  const policies = (['control', 'conflate', 'skip', 'disconnect', 'wait'] as const).filter(
    policy => !(quick && policy === 'wait'),
  )
  const all: Runs[] = wires.flatMap(wire => policies.map(policy => ({ wire, policy, found: [] })))
  const wakeRounds = quick ? 1 : 7
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
  const extras: Table['rows'][number][] = []
  for (const wire of wires) {
    progress.at(step++ / steps, `${wire}, laggards wake up`)
    const woken = await wake(wire, paces.length, whole, wakeRounds, flags)
    extras.push([
      `${wire}: ${paces.length} laggards wake up, CPU ms against one`,
      median(woken.manyMs),
      median(woken.oneMs),
    ])
    const many = { what: `${wire}: ${paces.length} laggards that wake up together : one`, limit: 2 }
    aims.push({ ...many, ...measured(woken.manyMs.map((ms, i) => ms / (woken.oneMs[i] as number))) })
    checks.push({ what: `${wire}: laggards that woke up together hold the exact text`, holds: woken.exact })

    progress.at(step++ / steps, `${wire}, a producer waits`)
    const waited = await waitFor(wire, waitPace, whole, flags)
    const { producerRate, readerRate } = waited
    extras.push([`${wire}: events/s of a producer that waits against its reader's`, producerRate, readerRate])
    aims.push({
      what: `${wire}: rate of a producer that waits : its slowest reader's`,
      limit: 1.1,
      measured: producerRate / readerRate,
    })
    checks.push({
      what: `${wire}: a producer waited and nothing was lost`,
      holds: waited.complete && waited.heldSeconds > 0,
      detail: `held for ${waited.heldSeconds.toFixed(1)} s`,
    })
  }
  return {
    scenario: 'slow',
    settings: { ...publishing, subscribers, paces, waitPace, rounds, wakeRounds },
    tables: [
      table(all),
      { title: 'Waking up and waiting', columns: ['', 'measured', 'against'], rows: extras },
    ],
    aims,
    checks,
    notes: [
      `${subscribers} subscribers, of which ${paces.length / 2} read nothing and ${paces.length / 2} read 2 KB/s; control: all read everything`,
      'memory: resident set of the server process once all is published and all garbage collected, slow readers still behind',
      'delays: from when an event was due to when a healthy subscriber had it, one of ten timed; medians of the rounds',
      'waking up: nothing that is folded for a laggard was folded before; one and many by turns, servers of their own',
      ...(quick
        ? ['left out of --quick: wait with readers that never read, which holds its producers for 30 s']
        : []),
    ],
  }
}

const over = (runs: Runs, of: (found: SlowRunFound) => number) => median(runs.found.map(of))

function table(all: readonly Runs[]): Table {
  const slowest = (runs: Runs, of: (held: Held) => number) =>
    over(runs, ({ held }) => (held.length > 0 ? median(held.map(of)) : Number.NaN))
  return {
    title: 'Slow readers',
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
      over(runs, ({ p50Ms }) => p50Ms),
      over(runs, ({ p99Ms }) => p99Ms),
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
  const each = runs.found.map((found, i) => ({ found, baseline: control.found[i] as SlowRunFound }))
  return [
    {
      what: `${runs.wire}, ${runs.policy}: memory over control`,
      limit: MEMORY_AIM_MB,
      ...measured(each.map(({ found, baseline }) => (found.resident - baseline.resident) / MB)),
      unit: ' MB',
    },
    {
      what: `${runs.wire}, ${runs.policy}: p99 of the healthy : control`,
      limit: 1.25,
      ...measured(each.map(({ found, baseline }) => found.p99Ms / baseline.p99Ms)),
    },
  ]
}

/** An aim's figures from the values of all rounds. */
function measured(rounds: readonly number[]): Pick<Aim, 'measured' | 'quartiles'> {
  const { low, median, high } = spread(rounds)
  return { measured: median, quartiles: [low, high] }
}

function checksOf({ wire, policy, found }: Runs): Check[] {
  const healthy = {
    what: `${wire}, ${policy}: every healthy subscriber got every event once, in order`,
    holds: found.every(({ complete }) => complete),
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

/** What each policy guarantees a slow reader, checked once it has read everything that it can get. */
const promises: Record<
  Policy,
  { what: string; holds(held: Held, published: SlowRunFound['published']): boolean }
> = {
  conflate: {
    what: 'slow readers hold the exact text',
    holds: (held, { head, text }) => held.seq === head && held.faults === 0 && held.text === text,
  },
  wait: {
    what: 'slow readers hold the exact text',
    holds: (held, { head, text }) => held.seq === head && held.faults === 0 && held.text === text,
  },
  skip: {
    what: 'received and skipped are what was published',
    holds: (held, { head }) => held.faults === 0 && held.skipped > 0 && held.received + held.skipped === head,
  },
  disconnect: {
    what: 'slow readers got `too-slow`, and nothing is missing before it',
    holds: held => held.faults === 0 && held.farewell === 'too-slow',
  },
}
