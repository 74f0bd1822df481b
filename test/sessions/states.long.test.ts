/** The cache of session states is bounded in memory. It takes some 100 MB of questions to see. */
import t from 'tap'
import { SessionStates } from '../../src/sessions/states.ts'
import { recordingJournal } from '../fixtures/recording-journal.ts'

t.test('states take a bounded memory, and the least recently used go first', async t => {
  const { journal, reads } = recordingJournal()
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
