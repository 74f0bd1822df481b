/** A bound on the arrays and objects of a JSON text. */
import { TwinrailError } from './errors.ts'
import { JSON_PARTS } from './limits.ts'

/**
 * An empty object of two characters takes 60 bytes of memory, and the time to make it and to collect it, so the size of
 * a text alone does not bound what it costs. Counting takes 1 ms for each MiB.
 * @throws TwinrailError `bad-request` when the text has more than {@link JSON_PARTS} arrays and objects
 */
export function mustHaveFewParts(text: string, what: string): void {
  // Each takes two characters at least.
  if (text.length <= 2 * JSON_PARTS) return
  let parts = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) at = endOfString(text, at)
    else if ((code === OBJECT || code === ARRAY) && ++parts > JSON_PARTS) {
      throw new TwinrailError(
        'bad-request',
        `${what}: more than ${JSON_PARTS} arrays and objects in one text of JSON; send less at a time`,
      )
    }
  }
}

const [QUOTE, BACKSLASH, OBJECT, ARRAY] = [0x22, 0x5c, 0x7b, 0x5b]

/** Where the string that begins at `start` ends; the end of the text when it does not. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let escapes = end
    while (text.charCodeAt(escapes - 1) === BACKSLASH) escapes--
    if ((end - escapes) % 2 === 0) return end
  }
  return text.length
}
