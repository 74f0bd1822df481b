/** Remembers something for each word. Words are read as numbers, since a string for each would take most of the time. */
import { UNSPACED } from './text.ts'

/** The most words that are remembered, and their chars; then all are forgotten. Most texts repeat a few thousand words. */
const MAX_WORDS = 2 ** 16
const MAX_CHARS = 2 ** 20

/** A longer word is not remembered, in chars. */
const MAX_WORD_CHARS = 64

/** Places for words, of which at most half are taken. */
const SLOTS = 2 * MAX_WORDS

/** What a char is in a word. */
const NONE = 0
const LETTER = 1
const DIGIT = 2
/** A mark, an underscore or another number. */
const PART = 3
/** Of a script without spaces, or half a character: the words of such texts are not cut here. */
const FOREIGN = 4

const KINDS = Uint8Array.from({ length: 2 ** 16 }, (_, code) => kindOf(String.fromCharCode(code)))

function kindOf(char: string): number {
  if (UNSPACED.test(char) || /[\ud800-\udfff]/.test(char)) return FOREIGN
  if (/\d/.test(char)) return DIGIT
  if (/[\p{M}\p{N}_]/u.test(char)) return PART
  return /\p{L}/u.test(char) ? LETTER : NONE
}

/** A value for each word of the texts that were read lately, in scripts with spaces. */
export class WordTable<Value> {
  readonly #make: (word: string) => Value
  /** The text that is being read, with a char after it that is no word. */
  #text = new Uint16Array(4096)
  /** At the hash of a word its number, from 1, or at the next free place; 0 for none. */
  readonly #slots = new Uint32Array(SLOTS)
  /** By number the value of a word and the end of its chars, which start where those of the word before it end. */
  readonly #values: (Value | undefined)[] = [undefined]
  readonly #ends = new Uint32Array(MAX_WORDS + 1)
  readonly #chars = new Uint16Array(MAX_CHARS)

  /** @param make called for a word that is not remembered */
  constructor(make: (word: string) => Value) {
    this.#make = make
  }

  /** The values of the words that `tokens` gives, in text order; `undefined` for a text that has foreign chars. */
  valuesIn(text: string): Value[] | undefined {
    if (!this.#copy(text)) return undefined
    const values: Value[] = []
    let at = 0
    while (at < text.length) {
      if (KINDS[this.#text[at]!] === NONE) at++
      else {
        const end = wordEnd(this.#text, at)
        values.push(this.#value(text, at, end))
        at = end
      }
    }
    return values
  }

  /** Copies a text that has no foreign char. */
  #copy(text: string): boolean {
    if (text.length >= this.#text.length) this.#text = new Uint16Array(2 * text.length)
    const chars = this.#text
    for (let i = 0; i < text.length; i++) {
      const char = text.charCodeAt(i)
      if (KINDS[char] === FOREIGN) return false
      chars[i] = char
    }
    chars[text.length] = 0
    return true
  }

  #value(text: string, start: number, end: number): Value {
    const chars = this.#text
    const slots = this.#slots
    let hash = 0
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ chars[i]!, 0x01000193)
    let slot = (hash ^ (hash >>> 15)) & (SLOTS - 1)
    for (let word = slots[slot]!; word !== 0; word = slots[slot]!) {
      if (this.#is(word, chars, start, end)) return this.#values[word] as Value
      slot = (slot + 1) & (SLOTS - 1)
    }
    const value = this.#make(text.slice(start, end))
    if (end - start <= MAX_WORD_CHARS) this.#remember(slot, value, start, end)
    return value
  }

  /** Whether a remembered word is this one. */
  #is(word: number, text: Uint16Array, start: number, end: number): boolean {
    const chars = this.#chars
    const offset = this.#ends[word - 1]! - start
    if (this.#ends[word]! - offset !== end) return false
    for (let i = start; i < end; i++) if (chars[offset + i] !== text[i]) return false
    return true
  }

  #remember(slot: number, value: Value, start: number, end: number): void {
    const word = this.#values.length
    const offset = this.#ends[word - 1]!
    if (word > MAX_WORDS || offset + MAX_WORD_CHARS > MAX_CHARS) {
      this.#slots.fill(0)
      this.#values.length = 1
      return
    }
    this.#slots[slot] = word
    this.#values.push(value)
    this.#chars.set(this.#text.subarray(start, end), offset)
    this.#ends[word] = offset + end - start
  }
}

/** The end of the word that starts here: a number such as `1,000.5`, or letters and the like with what joins them. */
function wordEnd(text: Uint16Array, start: number): number {
  let end = start
  while (KINDS[text[end]!] === DIGIT) end++
  if (end > start && isInNumber(text, end)) {
    while (isInNumber(text, end)) {
      end += 2
      while (KINDS[text[end]!] === DIGIT) end++
    }
    return end
  }
  while (KINDS[text[end]!] !== NONE) end++
  while (isApostrophe(text, end)) {
    end += 2
    while (KINDS[text[end]!] === LETTER) end++
  }
  return end
}

/** Whether a point or comma and a digit are here. */
function isInNumber(text: Uint16Array, at: number): boolean {
  return (text[at] === 0x2e || text[at] === 0x2c) && KINDS[text[at + 1]!] === DIGIT
}

/** Whether an apostrophe and a letter are here. */
function isApostrophe(text: Uint16Array, at: number): boolean {
  return (text[at] === 0x27 || text[at] === 0x2019) && KINDS[text[at + 1]!] === LETTER
}
