import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { z } from 'zod'
import { defineAgent } from '../../src/index.ts'
import { createServer } from '../../src/server.ts'

const MIB = 1024 * 1024

interface Read {
  oldestFirst: string[]
  newestFirst: string[]
  /** How often the event loop turned while the newest were read first. */
  turns: number
}

/** Starts a run in a session that holds deltas of these lengths, and gives what its agent reads. */
async function readIn(
  server: Awaited<ReturnType<typeof createServer>>,
  sessionId: string,
  lengths: number[],
) {
  await server.journal.create(sessionId, {})
  for (const length of lengths) {
    const data = { partId: 'p', delta: 'x'.repeat(length) }
    await server.journal.append(sessionId, [{ type: 'text.delta', data }])
  }
  const read = new Promise<Read>(resolve => onRead.set(sessionId, resolve))
  await server.sessions.execute(
    {
      id: '1',
      type: 'run.start',
      sessionId,
      agent: 'reader',
      runId: 'r',
      input: {},
      onNoViewers: 'continue',
    },
    { id: 'ann' },
  )
  return read
}

const onRead = new Map<string, (read: Read) => void>()

const reader = defineAgent({
  name: 'reader',
  description: 'Reads its session in both directions.',
  input: z.object({}),
  async *run(_input, context) {
    const oldestFirst: string[] = []
    for await (const { offset } of context.history()) oldestFirst.push(offset ?? '')
    let turns = 0
    let isReading = true
    const counting = (async () => {
      for (; isReading; turns++) await setImmediate()
    })()
    const newestFirst: string[] = []
    for await (const { offset } of context.recent()) newestFirst.push(offset ?? '')
    isReading = false
    await counting
    onRead.get(context.sessionId)?.({ oldestFirst, newestFirst, turns })
  },
})

t.test(
  'the recent history has the same events as the history, newest first, also with large events',
  async t => {
    const server = await createServer({ agents: [reader], logger: false })
    t.teardown(() => server.close({ graceMs: 0 }))
    const sessions = [
      [5],
      Array<number>(1_500).fill(5),
      [...Array<number>(300).fill(5), MIB - 2_000, MIB - 2_000, ...Array<number>(300).fill(5)],
      Array<number>(9).fill(MIB - 2_000),
      [...Array<number>(40).fill(100_000), 1, ...Array<number>(40).fill(30_000)],
    ]
    for (const [i, lengths] of sessions.entries()) {
      const { oldestFirst, newestFirst, turns } = await readIn(server, `s${i}`, lengths)
      t.equal(oldestFirst.length, lengths.length)
      t.same(newestFirst, oldestFirst.toReversed())
      t.ok(turns >= Math.floor(lengths.length / 256), `${turns} turns for ${lengths.length} events`)
    }
  },
)
