/** Records as they follow from a session's events and state, for copies that were made without records. */
import { openDefaults, openingsOf, QUESTIONS, RUNS } from '../../bus/open-limits.ts'
import { keys } from '../../log/keys.ts'
import type { Open, SessionRecord } from '../../log/log.ts'
import { isTerminal, parseOffset, type TwinrailEvent } from '../../protocol/index.ts'
import type { AnswerNote, EndNote, RunNote } from '../key-notes.ts'
import { digest } from '../repeats.ts'
import type { SessionState } from '../state.ts'

/** The key that the event took when it was first appended. Retries and late answers look it up. */
export function keyOf(event: TwinrailEvent, seq: number): SessionRecord[] {
  const { runId, by = '' } = event
  const key = (name: string, note: unknown): SessionRecord[] => [{ kind: 'key', name, seq, note }]
  switch (event.type) {
    case 'run.started': {
      const { agent, input } = event.data
      const note: RunNote = { agent, digest: digest(input), by }
      return runId === undefined ? [] : key(keys.run(runId), note)
    }
    case 'input.requested':
      return key(keys.input(event.data.requestId), { runId })
    case 'input.answered': {
      const { requestId, value } = event.data
      return key(keys.answer(requestId), { by, value } satisfies AnswerNote)
    }
    case 'input.expired':
      return key(keys.answer(event.data.requestId), { expired: true } satisfies AnswerNote)
    default:
      return runId !== undefined && isTerminal(event.type)
        ? key(keys.end(runId), { type: event.type } satisfies EndNote)
        : []
  }
}

/** The keys of the runs and questions of a state, for events that were trimmed. */
export function keysOf(state: SessionState): SessionRecord[] {
  const seqOf = (offset: string) => parseOffset(offset)?.seq ?? 0
  return [
    ...state.runs.flatMap(({ runId, agent, status, startOffset, endOffset }): SessionRecord[] => {
      const note: RunNote = { agent, digest: '', by: '' }
      const start: SessionRecord = { kind: 'key', name: keys.run(runId), seq: seqOf(startOffset), note }
      if (endOffset === undefined) return [start]
      const ended: EndNote = { type: `run.${status}` }
      return [start, { kind: 'key', name: keys.end(runId), seq: seqOf(endOffset), note: ended }]
    }),
    ...state.pendingInputs.map(
      ({ requestId, runId, offset }): SessionRecord => ({
        kind: 'key',
        name: keys.input(requestId),
        seq: seqOf(offset),
        note: { runId },
      }),
    ),
  ]
}

/** The tallies of what is open in a state. */
export function talliesOf(state: SessionState): SessionRecord[] {
  const open: Record<typeof RUNS | typeof QUESTIONS, Open[]> = { [RUNS]: [], [QUESTIONS]: [] }
  const add = (offset: string, key: string, note: unknown, text: string) => {
    for (const { tally, until, group, size } of openingsOf([{ key, note }], [text], openDefaults)) {
      open[tally as typeof RUNS].push({
        seq: parseOffset(offset)?.seq ?? 0,
        until,
        ...(group !== undefined && { group }),
        ...(size && { size }),
      })
    }
  }
  for (const { runId, startOffset, endOffset } of state.runs) {
    if (endOffset === undefined) add(startOffset, keys.run(runId), undefined, '')
  }
  for (const input of state.pendingInputs) {
    add(input.offset, keys.input(input.requestId), { runId: input.runId }, JSON.stringify(input))
  }
  return Object.entries(open).map(([name, open]) => ({ kind: 'tally', name, open }))
}
