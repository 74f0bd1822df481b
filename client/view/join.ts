/** Joins the views of two neighbouring ranges of a log, when a page of older events was loaded. */
import { type AnyPart, isOpen, keyOf } from './part.ts'
import { Draft, isOver, seqOf } from './reduce.ts'
import type { Message, Part, RunView, SessionView } from './view.ts'

/** States of a part in the order in which a part has them. */
const states = ['running', 'started', 'open', 'called', 'done', 'finished', 'answered', 'expired', 'closed']

/** Fields that the deltas of both views belong to. */
const texts = ['text', 'inputText']

/** Fields that the beginning of a part has. A torn part has made-up values in them. */
const beginning = ['offset', 'torn', 'role', 'kind', 'state', ...texts]

/**
 * The view of both ranges, as if `reduce` had made it of all their events.
 * @param older the view of the events before those of `newer`
 */
export function joined(older: SessionView, newer: SessionView): SessionView {
  const { runs, messages, questions, hasOlder, since = newer.since } = older
  const draft = new Draft({ ...newer, runs, messages, questions, hasOlder, since }, true)
  for (const run of newer.runs) {
    const at = runs.findIndex(({ runId }) => runId === run.runId)
    if (at < 0) draft.addRun(run)
    else joinRun(draft, at, run)
  }
  draft.view.runs = [...draft.view.runs].sort((a, b) => seqOf(a.offset) - seqOf(b.offset))
  return draft.finish()
}

function joinRun(draft: Draft, at: number, newer: RunView): void {
  const run = draft.run(at)
  for (const inputId of newer.applied) draft.applied(run, inputId)
  for (const message of newer.messages) {
    if (message.role === 'user') {
      const applied = message.inputId !== undefined && run.applied.includes(message.inputId)
      run.messages = [...run.messages, applied ? { ...message, state: 'applied' } : message]
      continue
    }
    for (const part of message.parts) joinPart(draft, run, part, message)
  }
  const { status, terminal, error } = newer
  Object.assign(run, { status, terminal, error })
  if (isOver(newer)) draft.close(run)
}

function joinPart(draft: Draft, run: RunView, newer: Part, { time }: Message): void {
  if (newer.type === 'status') draft.endStatus(run)
  const before =
    newer.torn || newer.type === 'plan'
      ? draft.find(run, newer.type, keyOf(newer as unknown as AnyPart))
      : undefined
  const later = newer as unknown as AnyPart
  // A part that goes on under the id of a closed one is another part.
  const goesOn = Boolean(later.text || later.inputText) || 'input' in later
  if (before && (newer.type === 'plan' || isOpen(before) || !goesOn)) return joinFields(before, later)
  const { torn: _, ...whole } = newer
  draft.append(run, run.torn ? newer : (whole as Part), time)
}

function joinFields(before: AnyPart, newer: AnyPart): void {
  for (const [field, value] of Object.entries(newer)) {
    if (value !== '' && !beginning.includes(field)) before[field] = value
  }
  for (const field of texts) if (field in newer) before[field] = `${before[field]}${newer[field]}`
  if (newer.type === 'plan' || states.indexOf(newer.state) > states.indexOf(before.state))
    before.state = newer.state
}
