/** One block of a document, in document order. */
export type Block =
  /** The title that the document gives itself, apart from its headings. */
  | { kind: 'title'; text: string }
  /** `id` is the URL fragment of the heading, where the document sets one. */
  | { kind: 'heading'; level: number; text: string; id?: string }
  /** Text without markup, except that code spans stay in backticks. */
  | { kind: 'prose' | 'item' | 'row'; text: string }
  | { kind: 'code'; text: string; language?: string }
  /** No content: the parser has worked for a while, and the caller may yield to the event loop. */
  | { kind: 'pause' }
