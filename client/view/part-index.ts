/** Finds the parts of a run by type and id, without a walk over all of them. */
import { type AnyPart, keyOf } from './part.ts'
import type { Part, RunView } from './view.ts'

/** Where a part is: the indexes of its message in the run, and of the part in the message. */
type Place = readonly [message: number, part: number]

/**
 * Where the last part of each type and id is, for the newest view of each run. An index belongs to one view of a run; for
 * an earlier one it is made again.
 */
const indexes = new WeakMap<RunView, Map<string, Place>>()

/** The place of the last part of this type and id. */
export function placeOf(run: RunView, type: string, id: unknown): Place | undefined {
  return indexOf(run).get(nameOf(type, id))
}

/** Notes that a part was added to the run. */
export function noteAdded(run: RunView, part: Part, place: Place): void {
  indexOf(run).set(nameOfPart(part), place)
}

/** Hands the index on from a view of a run to its copy, which is to be changed. */
export function moveIndex(from: RunView, to: RunView): void {
  const index = indexes.get(from)
  if (!index) return
  indexes.delete(from)
  indexes.set(to, index)
}

function indexOf(run: RunView): Map<string, Place> {
  let index = indexes.get(run)
  if (index) return index
  index = new Map()
  indexes.set(run, index)
  for (const [m, message] of run.messages.entries()) {
    if (message.role === 'user') continue
    for (const [p, part] of message.parts.entries()) index.set(nameOfPart(part), [m, p])
  }
  return index
}

const nameOf = (type: string, id: unknown) => `${type} ${id ?? ''}`
const nameOfPart = (part: Part) => nameOf(part.type, keyOf(part as unknown as AnyPart))
