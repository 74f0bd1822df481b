/** Delivery as a property: whoever stalls, drains and reconnects, every subscriber gets each event of the log once. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import { Bus } from '../../src/bus/bus.ts'
import { type Body, Journal } from '../../src/bus/journal.ts'
import type { Sink } from '../../src/bus/sink.ts'
import type { Subscription } from '../../src/bus/subscription.ts'
import { seedOf } from '../../src/log/contract/random.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { type Control, parseOffset, type TwinrailEvent } from '../../src/protocol/index.ts'
import { type Message, messages } from '../fixtures/sink.ts'

const LAG_EVENTS = 3

/** A sink that is full and drained when the test says so. */
class StallingSink implements Sink<readonly Message[]> {
  readonly encoding = messages
  history = undefined
  stalled = false
  readonly got: Message[] = []
  readonly #resumes = new Set<() => void>()

  ready() {
    return !this.stalled
  }
  write(batch: readonly Message[]) {
    this.got.push(...batch)
  }
  control(control: Control) {
    this.write(messages.control(control))
  }
  whenReady(resume: () => void) {
    this.#resumes.add(resume)
    if (!this.stalled) setImmediate(() => this.drain())
  }
  drain() {
    this.stalled = false
    const resumes = [...this.#resumes]
    this.#resumes.clear()
    for (const resume of resumes) resume()
  }
}

type Policy = 'conflate' | 'skip' | 'disconnect' | 'wait'

/** One client: subscribes, loses its connection, resumes at its cursor. Keeps all messages in the order they came. */
class Client {
  readonly policy: Policy
  readonly replay: 'compact' | 'full'
  readonly run: string | undefined
  readonly received: Message[] = []
  sink = new StallingSink()
  tooSlow = 0
  #subscription: Subscription<readonly Message[]> | undefined

  constructor(policy: Policy, replay: 'compact' | 'full', run: string | undefined) {
    this.policy = policy
    this.replay = replay
    this.run = run
  }

  get cursor(): string | undefined {
    for (const message of [...this.received, ...this.sink.got].reverse()) {
      if ('event' in message && message.event.offset) return message.event.offset
      if ('control' in message && message.control.type === 'gap') return message.control.to
    }
    return undefined
  }

  async connect(bus: Bus): Promise<void> {
    const after = this.cursor
    this.received.push(...this.sink.got)
    this.sink = new StallingSink()
    this.#subscription?.close()
    this.#subscription = await bus.subscribe({
      sessionId: 's',
      options: { after, last: undefined, replay: this.replay, run: this.run, coalesceMs: 0 },
      sink: this.sink,
      lag: { policy: this.policy, limits: { events: LAG_EVENTS } },
      onTooSlow: () => {
        this.tooSlow++
        this.#subscription = undefined
      },
      onEnd: () => {},
    })
    this.#subscription.start()
  }

  get isCut(): boolean {
    return this.#subscription === undefined
  }

  close() {
    this.received.push(...this.sink.got)
    this.#subscription?.close()
  }
}

const parts = ['p', 'q'] as const
const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('delta' as const), part: fc.constantFrom(...parts) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('custom' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('important' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('turn' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('stall' as const), client: fc.nat(7) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('drain' as const), client: fc.nat(7) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cut' as const), client: fc.nat(7) }) },
)

/** The log's events as single deltas, as a client of `run` must have seen them. */
function unfolded(events: readonly TwinrailEvent[]): string[] {
  return events.flatMap(event =>
    event.type === 'text.delta'
      ? [...event.data.delta].map(letter => `${event.data.partId}:${letter}`)
      : [`${event.type}@${event.offset}`],
  )
}

t.test('every subscriber gets exactly the events of the log after its cursor', async t => {
  const seed = seedOf(t)
  const seen = { clients: 0, gaps: 0, folds: 0, tooSlow: 0 }
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 200, size: 'max' }), async actions => {
      const log = createMemoryLog()
      // A tiny ring, so that laggards read from the log as well.
      const journal = new Journal(log)
      const bus = new Bus(journal, { ringEvents: 5, hold: { holdMs: 0, windowMs: 1000 } })
      await log.create('s', {})
      await journal.append('s', [{ type: 'run.started', runId: 'r', data: { agent: 'a' } }], {
        once: [{ key: 'run:r' }],
      })
      const clients = [
        new Client('conflate', 'compact', undefined),
        new Client('conflate', 'full', undefined),
        new Client('conflate', 'compact', 'r'),
        new Client('skip', 'compact', undefined),
        new Client('skip', 'full', 'r'),
        new Client('disconnect', 'compact', undefined),
        new Client('wait', 'compact', undefined),
        new Client('wait', 'full', 'r'),
      ]
      for (const client of clients) await client.connect(bus)
      let letter = 0
      for (const step of actions) {
        const client = 'client' in step ? (clients[step.client] as Client) : undefined
        if (step.do === 'delta') {
          const delta = String.fromCharCode(97 + (letter++ % 26))
          const runId = step.part === 'p' ? 'r' : undefined
          await journal.append('s', [{ type: 'text.delta', runId, data: { partId: step.part, delta } }])
        } else if (step.do === 'custom') {
          await journal.append('s', [{ type: 'x.n', runId: 'r', data: letter++ }])
        } else if (step.do === 'important') {
          const body: Body = { type: 'input.requested', runId: 'r', data: { requestId: `q${letter++}` } }
          await journal.append('s', [body])
        } else if (step.do === 'turn') await nextTurn()
        else if (client && step.do === 'stall') client.sink.stalled = true
        else if (client && step.do === 'drain') client.sink.drain()
        else if (client) await client.connect(bus)
      }
      const session = await journal.session('s')
      const all = (await log.read('s', 0, { events: 1e6, bytes: 1e9 }))?.events.map(e => e.event) ?? []
      for (const client of clients) {
        if (client.isCut) await client.connect(bus)
        client.sink.drain()
      }
      for (let turns = 0; turns < 60; turns++) await nextTurn()
      for (const client of clients) {
        client.close()
        verify(client, all, session.head)
        seen.clients++
        seen.tooSlow += client.tooSlow
        for (const message of client.received) {
          if ('control' in message && message.control.type === 'gap') seen.gaps++
          if ('event' in message && message.event.json.includes('"from"')) seen.folds++
        }
      }
      await log.close()
    }),
    { seed, numRuns: 300 },
  )
  t.comment(JSON.stringify(seen))
  t.ok(
    seen.clients >= 8 * 300 && seen.gaps > 100 && seen.folds > 100 && seen.tooSlow > 100,
    'all kinds were seen',
  )
})

function verify(client: Client, all: readonly TwinrailEvent[], head: number): void {
  const mine = client.run === undefined ? all : all.filter(event => event.runId === client.run)
  const gone = new Set<number>()
  const got: TwinrailEvent[] = []
  let last = 0
  const seqOf = (offset: string) => parseOffset(offset)?.seq as number
  for (const message of client.received) {
    if ('control' in message) {
      const { control } = message
      if (control.type !== 'gap') continue
      if (client.policy !== 'skip') throw new Error(`a gap under ${client.policy}`)
      if (seqOf(control.from) <= last) throw new Error('a gap over what was sent')
      for (let seq = seqOf(control.from); seq <= seqOf(control.to); seq++) gone.add(seq)
      last = seqOf(control.to)
      continue
    }
    const event = JSON.parse(message.event.json) as TwinrailEvent
    const from = seqOf(event.from ?? event.offset)
    if (from <= last) throw new Error(`${from} came after ${last}`)
    if (client.run === undefined && from !== last + 1) throw new Error(`hole between ${last} and ${from}`)
    if (client.replay === 'full' && event.from) throw new Error('a fold on a full stream')
    last = seqOf(event.offset)
    got.push(event)
  }
  const wanted = mine.filter(event => !gone.has(seqOf(event.offset)))
  const important = (event: TwinrailEvent) => event.type === 'input.requested'
  if (mine.some(event => important(event) && gone.has(seqOf(event.offset))))
    throw new Error('skipped what must not be')
  const [a, b] = [unfolded(got).join(), unfolded(wanted).join()]
  if (a !== b)
    throw new Error(`${client.policy} ${client.replay} ${client.run}: got ${a}, wanted ${b} (head ${head})`)
}
