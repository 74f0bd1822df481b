/** Cuts a document into passages: what the index finds and what an answer quotes from. */
import path from 'node:path'
import type { Block } from './blocks.ts'
import { slices } from './tokens.ts'

/** The longest passage, in chars; longer blocks become several. */
const PASSAGE_CHARS = 2_000

/** A paragraph, list item, table row or code block and where it stands. */
export interface Passage {
  /** Unique in the corpus, and the same as long as its document is. */
  readonly id: string
  /** Its place in its document, from 1. */
  readonly number: number
  /** `document title > heading > heading`. */
  readonly title: string
  /** Relative to the corpus: `path#slug` of the heading it stands under. */
  readonly url: string
  readonly kind: 'prose' | 'item' | 'row' | 'code'
  readonly text: string
  /** What a code block is written in; empty where the document does not say. */
  readonly language: string
  /** The heading right above it, or the document's title. */
  readonly heading: string
  /** Whether it is the first one under its heading. */
  readonly opens: boolean
  /** The line that introduces it, such as “The steps are:” before a list. */
  readonly lead: string
}

/**
 * The passages of one document, and `undefined` where others should get a turn. `file` is its path in the corpus,
 * with `/`.
 */
export function* passages(file: string, blocks: Iterable<Block>): Generator<Passage | undefined> {
  const place = new Place(file)
  let count = 0
  let lead = ''
  let opens = true
  for (const block of blocks) {
    if (block.kind === 'pause') {
      yield undefined
      continue
    }
    if (block.kind === 'title' || block.kind === 'heading') {
      place.enter(block)
      lead = ''
      opens = true
      continue
    }
    if (block.kind === 'prose') lead = ''
    const { title, heading, url } = place
    const language = (block.kind === 'code' && block.language) || ''
    for (const text of slices(block.text, PASSAGE_CHARS)) {
      if (!/[\p{L}\p{N}]/u.test(text)) continue
      count++
      yield {
        id: `${url}:${count}`,
        number: count,
        title,
        heading,
        url,
        kind: block.kind,
        language,
        text,
        opens,
        lead,
      }
      opens = false
    }
    if (block.kind === 'prose' && /[:：]$/.test(block.text)) lead = block.text
  }
}

/** Where in a document we are: its title and the headings above. */
class Place {
  private readonly path: string
  private document: string
  private headings: { level: number; text: string }[] = []
  private fragment = ''
  private started = false
  private readonly slugs = new Map<string, number>()

  constructor(file: string) {
    this.path = file.split('/').map(encodeURIComponent).join('/')
    this.document = path.posix.basename(file, path.posix.extname(file))
  }

  get title(): string {
    return [this.document, ...this.headings.map(heading => heading.text)].join(' > ')
  }

  get heading(): string {
    return this.headings.at(-1)?.text ?? this.document
  }

  get url(): string {
    return this.fragment ? `${this.path}#${this.fragment}` : this.path
  }

  enter(block: Extract<Block, { kind: 'title' | 'heading' }>): void {
    const text = block.text.replaceAll('`', '')
    if (!text) return
    if (block.kind === 'heading') this.fragment = block.id ?? this.slug(text)
    // The first heading is the document's title, whatever its level.
    if (block.kind === 'title' || !this.started) {
      this.document = text
    } else {
      const above = this.headings.filter(heading => heading.level < block.level)
      this.headings = [...above, { level: block.level, text }]
    }
    this.started ||= block.kind === 'heading'
  }

  /** The fragment that GitHub gives a heading. */
  private slug(heading: string): string {
    const slug = heading
      .toLowerCase()
      .replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '')
      .replaceAll(' ', '-')
    const seen = this.slugs.get(slug) ?? 0
    this.slugs.set(slug, seen + 1)
    return seen ? `${slug}-${seen}` : slug
  }
}
