/** The passages of a corpus, and the places of their terms. */
import type { Passage } from './passage.ts'
import { terms, tokens } from './text.ts'
import { Vocabulary } from './vocabulary.ts'

/** Where a section has a term in its context: the path of its file, its titles or its heading. A sum of one or two. */
export const PATH = 1
const TITLE = 2
export const HEADING = 4

/** The data of {@link Postings}, to be stored on disk. */
export interface PostingsData {
  readonly passages: Passage[]
  readonly terms: string[]
  readonly inText: number[][]
  readonly inContext: number[][]
  readonly folders: Set<string>
  readonly files: Set<string>
  readonly headingLengths: number[]
  readonly lengths: number[]
  readonly sectionOf: number[]
  readonly sections: number[]
}

const NONE: readonly number[] = []

export class Postings {
  readonly passages: readonly Passage[]
  /** For each passage the number of terms in its text. */
  readonly lengths: readonly number[]
  /** For each passage the number of its section. */
  readonly sectionOf: readonly number[]
  /** For each section the number of terms of its heading. */
  readonly headingLengths: readonly number[]
  readonly #data: PostingsData
  readonly #vocabulary: Vocabulary
  #totalLength: number

  /** @param data that of other postings; without it they are empty */
  constructor(data?: PostingsData) {
    this.#data = data ?? emptyData()
    this.#vocabulary = new Vocabulary(this.#data.terms)
    this.passages = this.#data.passages
    this.lengths = this.#data.lengths
    this.sectionOf = this.#data.sectionOf
    this.headingLengths = this.#data.headingLengths
    this.#totalLength = this.lengths.reduce((sum, length) => sum + length, 0)
  }

  get data(): PostingsData {
    return this.#data
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
  inText(term: string): readonly number[] {
    const number = this.#vocabulary.number(term)
    return number === undefined ? NONE : (this.#data.inText[number] ?? NONE)
  }

  /** The sections with a term in their context: number of the section × 8 + {@link PATH} and so on. */
  inContext(term: string): readonly number[] {
    const number = this.#vocabulary.number(term)
    return number === undefined ? NONE : (this.#data.inContext[number] ?? NONE)
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
    const own = terms(passage.text)
    for (const term of terms(passage.lead)) this.#count(term, number, 0)
    for (const term of own) this.#count(term, number, 1)
    lengths.push(own.length)
    sectionOf.push(sections.length - 1)
    this.#totalLength += own.length
    passages.push(passage)
  }

  /** Counts a term of the passage that is being added: once more in its text, or 0 times when it is in its lead. */
  #count(term: string, passage: number, times: number): void {
    const { inText } = this.#data
    const list = listAt(inText, this.#vocabulary.add(term))
    const last = list.at(-1)
    if (last === undefined || last >>> 3 !== passage) list.push(passage * 8 + times)
    else if ((last & 7) < 7) list[list.length - 1] = last + times
  }

  #addSection({ url, title, heading }: Passage): void {
    const { folders, files, headingLengths, inContext, sections, passages } = this.#data
    const number = sections.length
    const [path = ''] = url.split('#')
    const places = new Map<string, number>()
    for (const [i, name] of path.split('/').reverse().entries()) {
      for (const term of terms(decodeURIComponent(name))) {
        places.set(term, PATH)
        if (i === 0) files.add(term)
        else folders.add(term)
      }
    }
    const raise = (term: string, place: number) => {
      const isInPath = ((places.get(term) ?? 0) & PATH) !== 0
      places.set(term, isInPath ? place + PATH : place)
    }
    for (const term of terms(title)) raise(term, TITLE)
    let length = 0
    for (const { terms } of tokens(heading)) {
      for (const term of terms) raise(term, HEADING)
      const isNew = terms.some(term => places.get(term) === HEADING)
      if (isNew) length += Math.max(1, terms.length - 1)
    }
    headingLengths.push(length)
    for (const [term, place] of places) {
      listAt(inContext, this.#vocabulary.add(term)).push(number * 8 + place)
    }
    sections.push(passages.length)
  }
}

function emptyData(): PostingsData {
  return {
    passages: [],
    terms: [],
    inText: [],
    inContext: [],
    folders: new Set(),
    files: new Set(),
    headingLengths: [],
    lengths: [],
    sectionOf: [],
    sections: [],
  }
}

/** The list at a place of a list of lists, where missing ones are empty. */
function listAt(lists: number[][], at: number): number[] {
  while (lists.length <= at) lists.push([])
  return lists[at]!
}
