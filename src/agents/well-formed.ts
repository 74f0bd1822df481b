/**
 * Text without half characters. A character such as an emoji is two UTF-16 units; half of it, which is left where a text
 * is cut between them, makes providers and clients refuse the whole session.
 */
import { beginning } from '../protocol/index.ts'

/** Replaces half characters by U+FFFD. */
export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd')
}

/**
 * A value with the half characters in its strings replaced, through arrays and plain objects; the value itself where
 * there are none. It must not contain itself.
 */
export function wellFormedValue<Value>(value: Value): Value {
  // JSON.stringify writes half characters, and nothing else, as such escapes.
  return /\\ud[89a-f]/.test(JSON.stringify(value) ?? '') ? (replaced(value) as Value) : value
}

function replaced(value: unknown): unknown {
  if (typeof value === 'string') return wellFormed(value)
  if (Array.isArray(value)) return value.map(replaced)
  if (!(value instanceof Object) || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [wellFormed(name), replaced(part)]))
}

/** The end of a text, at most `max` UTF-16 units, never half a character. */
export function ending(text: string, max: number): string {
  if (text.length <= max) return text
  const end = text.slice(text.length - max)
  return /^[\uDC00-\uDFFF]/.test(end) ? end.slice(1) : end
}

/** Cuts a text into pieces of at most `max` UTF-16 units, none of which ends in half a character. */
export function* pieces(text: string, max: number): Generator<string, void, void> {
  for (let rest = text; rest !== ''; ) {
    const piece = beginning(rest, max)
    yield piece
    rest = rest.slice(piece.length)
  }
}

/** Whether the last unit of a text is the first half of a character. */
export function endsInHalf(text: string): boolean {
  return /[\uD800-\uDBFF]$/.test(text)
}
