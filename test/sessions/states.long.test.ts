/** The cache of session states is bounded in memory. It takes some 100 MB of questions to see. */
import t from 'tap'
import { Journal } from '../../src/bus/journal.ts'
import type { EventLog } from '../../src/log/log.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { SessionStates } from '../../src/sessions/states.ts'

/** A log that records the `after` of each read. */
function stage() {
  const log = createMemoryLog()
  const reads: number[] = []
  const counting: EventLog = {
    ...log,
    read(sessionId, after, bounds) {
      reads.push(after)
      return log.read(sessionId, after, bounds)
    },
  }
  const journal = new Journal(counting)
  return {
    log,
    journal,
    reads,
    startRun: (runId: string) =>
      journal.append('s', [{ type: 'run.started', runId, data: { agent: 'a' } }], { create: true }),
    numbers: (count: number) =>
      journal.append(
        's',
        Array.from({ length: count }, (_, data) => ({ type: 'x.n', data })),
      ),
  }
}

t.test('states take a bounded memory, and the least recently used go first', async t => {
  const { journal, reads } = stage()
  const states = new SessionStates(journal)
  const question = { requestId: 'q', kind: 'question', message: 'x'.repeat(500_000) }
  for (let i = 0; i < 80; i++) {
    await journal.append(`s${i}`, [{ type: 'input.requested', runId: 'r', data: question }], { create: true })
    await states.get(await journal.session(`s${i}`))
  }
  reads.length = 0
  for (const id of ['s79', 's30', 's0']) await states.get(await journal.session(id))
  t.same(reads, [0], 'only the oldest is read anew')
})
