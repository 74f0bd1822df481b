/** The rows of a timeline: one for each event, and one for all neighbouring deltas of a part. */
import type { TwinrailEvent } from '../../src/protocol/index.ts'
import { seqOf } from './format.ts'

/** UTF-16 units of a part's text that a row keeps. The log has the rest. */
const MOST_TEXT = 64 * 1024

export interface Row {
  /** The number of its first event. */
  readonly first: number
  /** The number of its last event. */
  readonly last: number
  /** The offset of its last event. */
  readonly offset: string
  readonly type: string
  readonly runId: string | undefined
  readonly by: string | undefined
  readonly time: number
  /** What its deltas belong to; `undefined` for events that are no deltas. */
  readonly part: string | undefined
  /** The text of the deltas, or what the event says in short. */
  readonly text: string
  /** The event; of deltas, the last one. */
  readonly event: TwinrailEvent
}

const partNames = ['partId', 'toolCallId', 'artifactId'] as const

export function rowOf(event: TwinrailEvent): Row {
  const { offset, type, time, data } = event
  const { runId, by, from } = event as { runId?: string; by?: string; from?: string }
  const fields = (typeof data === 'object' && data !== null ? data : {}) as Record<string, unknown>
  const id = type.endsWith('.delta') ? partNames.map(name => fields[name]).find(Boolean) : undefined
  const last = seqOf(offset)
  return {
    first: from === undefined ? last : seqOf(from),
    last,
    offset,
    type,
    runId,
    by,
    time,
    part: id === undefined ? undefined : `${type} ${runId ?? ''} ${id}`,
    text: id === undefined ? inShort(fields, data) : String(fields['delta'] ?? ''),
    event,
  }
}

/** Both lists of rows, one after the other. Rows of one part that touch are joined. */
export function joined(before: readonly Row[], after: readonly Row[]): readonly Row[] {
  if (before.length === 0) return joinAll(after)
  return joinAll(after, [...before])
}

function joinAll(rows: readonly Row[], all: Row[] = []): Row[] {
  for (const row of rows) {
    const last = all.at(-1)
    if (last && row.part !== undefined && last.part === row.part && last.last + 1 === row.first) {
      all[all.length - 1] = { ...row, first: last.first, text: (last.text + row.text).slice(0, MOST_TEXT) }
    } else all.push(row)
  }
  return all
}

/** What an event says, in the fields that people look for. */
function inShort(fields: Record<string, unknown>, data: unknown): string {
  const names = [
    'agent',
    'status',
    'message',
    'toolName',
    'name',
    'title',
    'reason',
    'code',
    'finishReason',
    'text',
    'kind',
    'value',
  ]
  const parts = names.flatMap(name => {
    const value = fields[name]
    if (value === undefined || value === null) return []
    return [typeof value === 'string' ? value : JSON.stringify(value)]
  })
  const said = parts.length > 0 ? parts.join(' · ') : (JSON.stringify(data) ?? '')
  return said.slice(0, 300)
}
