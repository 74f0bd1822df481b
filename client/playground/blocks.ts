/** Splits a growing Markdown text into blocks. What is complete is split once, so a long answer costs no more per word. */

/** A longer block is drawn as several, cut between sentences or words, in chars: browsers lay out a block as a whole. */
const BLOCK_CHARS = 2_000

/** Splits one text that grows at its end. Another text starts anew. */
export class Blocks {
  #text = ''
  #closed: readonly string[] = []
  /** Where the first block begins that may still grow. */
  #at = 0

  /** The blocks of the text: paragraphs, lists, headings and fenced code. Complete blocks never change. */
  of(text: string): readonly string[] {
    // Strings are compared as a whole, which is several times as fast as `startsWith`.
    if (text.slice(0, this.#text.length) !== this.#text) {
      this.#closed = []
      this.#at = 0
    }
    this.#text = text
    let rest = text.slice(this.#at)
    const added: string[] = []
    for (;;) {
      const end = endOf(rest)
      if (end === undefined) break
      added.push(copied(rest.slice(0, end).trim()))
      rest = rest.slice(end)
    }
    if (added.length > 0) this.#closed = [...this.#closed, ...added.filter(block => block !== '')]
    this.#at = text.length - rest.length
    const last = rest.trim()
    // Copied as well: whoever compares texts by value keeps this one when the block is complete.
    return last === '' ? this.#closed : [...this.#closed, copied(last)]
  }
}

/** The same text with memory of its own: a slice of a long text keeps the whole text in memory, once per block. */
const copied = (text: string): string => JSON.parse(JSON.stringify(text))

/** Where the first block ends; `undefined` while it may still grow. */
function endOf(text: string): number | undefined {
  const fence = /^\s*(`{3,}).*\n/.exec(text)
  if (fence) {
    const close = text.indexOf(`\n${fence[1]}`, fence[0].length - 1)
    if (close >= 0) {
      const line = text.indexOf('\n', close + 1)
      return line < 0 ? undefined : line + 1
    }
    return undefined
  }
  const blank = /\S[^\S\n]*\n(?=[^\S\n]*\n|`{3}|#{1,6} )/.exec(text)
  if (blank && blank.index < BLOCK_CHARS) return blank.index + blank[0].length
  return cutLong(text)
}

function cutLong(text: string): number | undefined {
  if (text.length <= BLOCK_CHARS) return undefined
  const part = text.slice(0, BLOCK_CHARS)
  for (const mark of ['\n', '. ', ' ']) {
    const at = part.lastIndexOf(mark)
    if (at > BLOCK_CHARS / 2) return at + mark.length
  }
  return BLOCK_CHARS
}
