/** The passages of a corpus, and the places of their terms. */
import type { Passage } from './passage.ts'
import { TermLists, type TermListsData } from './term-lists.ts'
import { terms } from './text.ts'
import { Vocabulary } from './vocabulary.ts'

/** Where a section has a term in its context: the path of its file, its titles or its heading. A sum of one or two. */
export const PATH = 1
const TITLE = 2
export const HEADING = 4

/** The data of {@link Postings}, to be stored on disk. */
export interface PostingsData {
  readonly passages: Passage[]
  readonly terms: string[]
  readonly inText: TermListsData
  readonly inContext: TermListsData
  readonly folders: Set<string>
  readonly files: Set<string>
  readonly headingLengths: number[]
  readonly lengths: number[]
  readonly sectionOf: number[]
  readonly sections: number[]
}

const NONE = new Uint32Array()

export class Postings {
  readonly passages: readonly Passage[]
  /** For each passage the number of terms in its text. */
  readonly lengths: readonly number[]
  /** For each passage the number of its section. */
  readonly sectionOf: readonly number[]
  /** For each section the number of terms of its heading. */
  readonly headingLengths: readonly number[]
  readonly #data: Omit<PostingsData, 'inText' | 'inContext'>
  readonly #vocabulary: Vocabulary
  readonly #inText: TermLists
  readonly #inContext: TermLists
  /** For each term its number in {@link inText} for the latest passage that has it. */
  readonly #latest: number[] = []
  #totalLength: number
  #latestPath: { path: string; terms: ReadonlySet<number> } | undefined

  /** @param data that of other postings; without it they are empty */
  constructor(data?: PostingsData) {
    this.#data = data ?? emptyData()
    this.#vocabulary = new Vocabulary(this.#data.terms)
    this.#inText = new TermLists(data?.inText)
    this.#inContext = new TermLists(data?.inContext)
    this.passages = this.#data.passages
    this.lengths = this.#data.lengths
    this.sectionOf = this.#data.sectionOf
    this.headingLengths = this.#data.headingLengths
    this.#totalLength = this.lengths.reduce((sum, length) => sum + length, 0)
  }

  get data(): PostingsData {
    return { ...this.#data, inText: this.#inText.data, inContext: this.#inContext.data }
  }

  /** All terms of the corpus. */
  get vocabulary(): readonly string[] {
    return this.#vocabulary.terms
  }

  /** Mean number of terms of a passage. */
  get meanLength(): number {
    return this.#totalLength / this.passages.length
  }

  /** The passages with a term in text or lead: number of the passage × 8 + times in the text, at most 7. */
  inText(term: string): Uint32Array {
    const number = this.#vocabulary.number(term)
    return number === undefined ? NONE : this.#inText.of(number)
  }

  /** The sections with a term in their context: number of the section × 8 + {@link PATH} and so on. */
  inContext(term: string): Uint32Array {
    const number = this.#vocabulary.number(term)
    return number === undefined ? NONE : this.#inContext.of(number)
  }

  /** Whether the name of a folder has the term. */
  isInFolder(term: string): boolean {
    return this.#data.folders.has(term)
  }

  /** Whether the name of a file has the term. */
  isInFile(term: string): boolean {
    return this.#data.files.has(term)
  }

  /** The number of passages with a term in text or context. */
  frequency(term: string): number {
    let count = this.inText(term).length
    for (const entry of this.inContext(term)) {
      const [first, end] = this.range(entry >>> 3)
      count += end - first
    }
    return count
  }

  /** The numbers of a section's first passage and of the one after its last. */
  range(section: number): readonly [first: number, end: number] {
    const { sections } = this.#data
    return [sections[section]!, sections[section + 1] ?? this.passages.length]
  }

  /** Adds a passage. The passages of a section must follow each other. */
  add(passage: Passage): void {
    const { passages, lengths, sectionOf, sections } = this.#data
    const previous = passages.at(-1)
    if (passage.url !== previous?.url || passage.title !== previous.title) this.#addSection(passage)
    const number = passages.length
    const found: number[] = []
    for (const word of this.#vocabulary.addText(passage.lead)) {
      for (const term of word) this.#count(term, number, 0, found)
    }
    let length = 0
    for (const word of this.#vocabulary.addText(passage.text)) {
      length += word.length
      for (const term of word) this.#count(term, number, 1, found)
    }
    for (const term of found) this.#inText.add(term, this.#latest[term]!)
    lengths.push(length)
    sectionOf.push(sections.length - 1)
    this.#totalLength += length
    passages.push(passage)
  }

  /**
   * Counts a term of the passage that is being added: once more in its text, or 0 times when it is in its lead.
   * @param found takes the term when it is the first time
   */
  #count(term: number, passage: number, times: number, found: number[]): void {
    const latest = this.#latest[term]
    if (latest === undefined || latest >>> 3 !== passage) {
      this.#latest[term] = passage * 8 + times
      found.push(term)
    } else if ((latest & 7) < 7) this.#latest[term] = latest + times
  }

  #addSection({ url, title, heading }: Passage): void {
    const { headingLengths, sections, passages } = this.#data
    const number = sections.length
    const [path = ''] = url.split('#')
    const inPath = this.#addPath(path)
    const places = new Map<number, number>()
    for (const term of inPath) places.set(term, PATH)
    const raise = (term: number, place: number) => {
      places.set(term, inPath.has(term) ? place + PATH : place)
    }
    for (const word of this.#vocabulary.addText(title)) for (const term of word) raise(term, TITLE)
    let length = 0
    for (const word of this.#vocabulary.addText(heading)) {
      for (const term of word) raise(term, HEADING)
      const isNew = word.some(term => places.get(term) === HEADING)
      if (isNew) length += Math.max(1, word.length - 1)
    }
    headingLengths.push(length)
    for (const [term, place] of places) this.#inContext.add(term, number * 8 + place)
    sections.push(passages.length)
  }

  /** Adds the terms of a document's path; returns their numbers. */
  #addPath(path: string): ReadonlySet<number> {
    // The sections of a document follow each other.
    if (this.#latestPath?.path === path) return this.#latestPath.terms
    const { folders, files } = this.#data
    const numbers = new Set<number>()
    for (const [i, name] of path.split('/').reverse().entries()) {
      for (const term of terms(decodeURIComponent(name))) {
        numbers.add(this.#vocabulary.add(term))
        if (i === 0) files.add(term)
        else folders.add(term)
      }
    }
    this.#latestPath = { path, terms: numbers }
    return numbers
  }
}

function emptyData(): Omit<PostingsData, 'inText' | 'inContext'> {
  return {
    passages: [],
    terms: [],
    folders: new Set(),
    files: new Set(),
    headingLengths: [],
    lengths: [],
    sectionOf: [],
    sections: [],
  }
}
