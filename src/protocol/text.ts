/** Texts are cut between characters. A character such as an emoji is two UTF-16 units, and half of one harms readers. */

/** The beginning of a text, at most `max` UTF-16 units, never half a character. */
export function beginning(text: string, max: number): string {
  if (text.length <= max) return text
  const end = text.charCodeAt(max - 1)
  return text.slice(0, end >= 0xd800 && end <= 0xdbff ? max - 1 : Math.max(0, max))
}

/** The first half of a character at the end of a text, or nothing. */
export function halfAtEnd(text: string): string {
  return /[\uD800-\uDBFF]?$/.exec(text)![0]
}

/** Puts the pieces of one text together again where a character was cut. Half a character that stays alone becomes U+FFFD. */
export class WholeCharacters {
  #half = ''

  /** The next piece: with the half that was left of the piece before, and without a half at its end. */
  add(piece: string): string {
    const text = this.#half + piece
    this.#half = halfAtEnd(text)
    return whole(text.slice(0, text.length - this.#half.length))
  }

  /** What is left after the last piece. */
  end(): string {
    const rest = whole(this.#half)
    this.#half = ''
    return rest
  }
}

const whole = (text: string) => text.replace(/\p{Surrogate}/gu, '\ufffd')
