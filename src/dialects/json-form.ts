/** JSON texts that are alike but for a few values. */
import { randomUUID } from 'node:crypto'

/** Stands for a value while the text around it is made. No text of a client's holds it. */
const HOLE = randomUUID()

/**
 * Makes a function that gives the JSON of `make`'s value for the given values. The text between them is made once, so a
 * large message costs no more than what changes in it.
 * @param make is called once, with placeholders. It uses each once, in the order in which they stand in the JSON, and
 * what it makes depends on nothing else that changes
 */
export function jsonForm<V extends readonly unknown[]>(
  make: (...values: V) => object,
): (...values: V) => string {
  const holes = Array.from({ length: make.length }, () => HOLE) as readonly unknown[] as V
  const [first = '', ...rest] = JSON.stringify(make(...holes)).split(`"${HOLE}"`)
  return (...values) => {
    let text = first
    for (let i = 0; i < rest.length; i++) text += JSON.stringify(values[i]) + rest[i]
    return text
  }
}
