/** The shared document: a Yjs text whose updates are events of a session's log. The server and the page use this. */
import * as Y from 'yjs'
// As a namespace, of which a page bundles only what it uses.
import * as z from 'zod'

/** A place in the text that stays where it is while others write before it: a relative position of Yjs as JSON. */
const Place = z.record(z.string(), z.unknown())

export const schemas = {
  /** A Yjs update as base64. Updates may be applied in any order and more than once. */
  'x.doc.update': z.object({ update: z.string().max(700_000) }),
  /** Ephemeral: where somebody's cursor is. `client` is the number of that copy of the document. */
  'x.doc.cursor': z.object({
    client: z.number().int(),
    name: z.string().max(40),
    colour: z.string().regex(/^#[0-9a-f]{6}$/),
    cursor: z.object({ anchor: Place, head: Place }).nullable(),
  }),
}
export type CursorEvent = { type: 'x.doc.cursor'; data: z.output<(typeof schemas)['x.doc.cursor']> }

/** The name of the co-author's agent, and how it is shown. */
export const coAuthor = { agent: 'co-author', name: 'Co-author', colour: '#6a3fb5' }

export const instructions = ['continue', 'shorten', 'headings'] as const

/** What a run of the co-author is started with. */
export const Instruction = z.object({
  instruction: z.enum(instructions),
  /** Where the cursor of the one who asks is; for `shorten`. @default the end of the text */
  at: Place.optional(),
})

export const textOf = (doc: Y.Doc): Y.Text => doc.getText('text')

/** The origin of changes that came from the log. */
export const REMOTE = Symbol('remote')

export function applyUpdate(doc: Y.Doc, update: string): void {
  const bytes = Uint8Array.from(atob(update), letter => letter.charCodeAt(0))
  Y.applyUpdate(doc, bytes, REMOTE)
}

export function encodeUpdate(update: Uint8Array): string {
  let letters = ''
  // A large update would be too many arguments.
  for (let at = 0; at < update.length; at += 8192)
    letters += String.fromCharCode(...update.subarray(at, at + 8192))
  return btoa(letters)
}

/** Collects the changes that were made to this copy, so that many keys make one event. */
export class Changes {
  readonly #doc: Y.Doc
  #updates: Uint8Array[] = []
  /** Called when there is a change after none. */
  onChange = (): void => {}

  constructor(doc: Y.Doc) {
    this.#doc = doc
    doc.on('update', (update: Uint8Array, origin: unknown) => {
      if (origin === REMOTE) return
      this.#updates.push(update)
      if (this.#updates.length === 1) this.onChange()
    })
  }

  get some(): boolean {
    return this.#updates.length > 0
  }

  /** All changes since the last call as one update; `undefined` without any. */
  take(): string | undefined {
    if (!this.some) return undefined
    const update = Y.mergeUpdates(this.#updates)
    this.#updates = []
    return encodeUpdate(update)
  }

  /** The whole text as one update, for a log that was lost. */
  whole(): string {
    this.#updates = []
    return encodeUpdate(Y.encodeStateAsUpdate(this.#doc))
  }
}
