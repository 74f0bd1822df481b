/** Records of a session as the hashes of Redis hold them. */
import type { Open, SessionRecord } from '../log.ts'
import { noteOf, noteText } from './arguments.ts'

/** The hashes with records, by their part of the name. */
export const RECORD_HASHES = ['k', 'p', 'r', 'o'] as const

export type RecordHash = (typeof RECORD_HASHES)[number]

/** A record as a script takes it. */
export type RecordArguments = [hash: RecordHash, name: string, value: string, expires: string]

/** Number, `=` and group or nothing, keys, and size if there is one. Lua writes an empty list as an object. */
type HeldOpen = [seq: string, group: string, until: string[] | object, size?: number | null]

/** The record in a field of a hash; `undefined` when it cannot be read. */
export function recordOf(hash: RecordHash, name: string, value: string): SessionRecord | undefined {
  switch (hash) {
    case 'k': {
      const [, seq, expires, note = ''] = /^(\d+) (\S+) (.*)$/s.exec(value) ?? []
      if (seq === undefined) return undefined
      const end = expires === '-' ? {} : { expiresAt: Number(expires) }
      return { kind: 'key', name, seq: Number(seq), note: noteOf(note), ...end }
    }
    case 'p': {
      const [next = 0, ...numbers] = value.split(' ').map(Number)
      const stretches: [number, number][] = []
      for (let i = 0; i + 1 < numbers.length; i += 2) {
        stretches.push([numbers[i] as number, numbers[i + 1] as number])
      }
      return { kind: 'producer', name, next, ...(stretches.length > 0 && { stretches }) }
    }
    case 'r': {
      const [expires, token = ''] = value.split(/ (.*)/s)
      return { kind: 'lease', name, token, expiresAt: Number(expires) }
    }
    case 'o': {
      const open = (JSON.parse(value) as HeldOpen[] | object as HeldOpen[]) ?? []
      return { kind: 'tally', name, open: Array.isArray(open) ? open.map(openOf) : [] }
    }
  }
}

function openOf([seq, group, until, size]: HeldOpen): Open {
  return {
    seq: Number(seq),
    until: Array.isArray(until) ? until : [],
    ...(group.startsWith('=') && { group: group.slice(1) }),
    ...(size && { size }),
  }
}

/** The field of a record. */
export function argumentsOf(record: SessionRecord): RecordArguments {
  const { name } = record
  switch (record.kind) {
    case 'key': {
      const expires = record.expiresAt === undefined ? '' : String(record.expiresAt)
      return ['k', name, `${record.seq} ${expires || '-'} ${noteText(record.note)}`, expires]
    }
    case 'producer':
      return ['p', name, [record.next, ...(record.stretches ?? []).flat()].join(' '), '']
    case 'lease':
      return ['r', name, `${record.expiresAt} ${record.token}`, '']
    case 'tally': {
      const open = record.open.map(({ seq, group, until, size }) => [
        String(seq),
        group === undefined ? '' : `=${group}`,
        until,
        ...(size ? [size] : []),
      ])
      return ['o', name, JSON.stringify(open), '']
    }
  }
}
