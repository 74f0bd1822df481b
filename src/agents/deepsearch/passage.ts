/** The unit of search and citation. */

/** A paragraph, list item, table row or code block of a document. */
export interface Passage {
  /** Unique in the corpus; the same in every load while the document is unchanged. */
  readonly id: string
  /** Position in the document, from 1. */
  readonly number: number
  /** `document title > heading > heading`. */
  readonly title: string
  /** URL relative to the corpus: the file's path and, as fragment, the heading above the passage. */
  readonly url: string
  readonly kind: 'prose' | 'item' | 'row' | 'code'
  readonly text: string
  /** Language of a code block; empty where unknown. */
  readonly language: string
  /** The nearest heading above, or the document's title. */
  readonly heading: string
  /** Whether it is the first passage under its heading. */
  readonly opensSection: boolean
  /** The paragraph that introduces it, such as “The steps are:” before a list; empty where there is none. */
  readonly lead: string
}
