/**
 * One block of a document, in document order. Blocks of all kinds have the same fields, so that V8 compiles the code that
 * reads them once, and not again for each kind.
 */
export interface Block {
  /**
   * `title` is what the document calls itself, apart from its headings. `pause` has no content: the parser has worked for a
   * while, and the caller may yield to the event loop.
   */
  readonly kind: 'title' | 'heading' | 'prose' | 'item' | 'row' | 'code' | 'pause'
  /** Text without markup, except that code spans stay in backticks. */
  readonly text: string
  /** Of a heading. */
  readonly level: number
  /** The URL fragment of a heading, where the document sets one; else empty. */
  readonly id: string
  /** Of code; empty where unknown. */
  readonly language: string
}

export const PAUSE = textBlock('pause', '')

export function textBlock(kind: Block['kind'], text: string): Block {
  return { kind, text, level: 0, id: '', language: '' }
}

export function headingBlock(text: string, level: number, id = ''): Block {
  return { kind: 'heading', text, level, id, language: '' }
}

export function codeBlock(text: string, language: string): Block {
  return { kind: 'code', text, level: 0, id: '', language }
}
