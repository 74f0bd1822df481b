/** Collaborative editing: several people type in one document, as Yjs updates. */
import * as Y from 'yjs'
import { seeded } from '../random.ts'
import { type Content, type Cue, pause, pick } from './content.ts'
import { sections } from './repository.ts'

/** `data` of `x.edit`. */
export interface Edit {
  readonly editor: number
  /** A Yjs update, base64. */
  readonly update: string
}

/** Keys per second of one editor, pauses aside. */
export const KEYS_PER_SECOND = 6

/** After a sentence, on average, ms. */
const THINKING_MS = 600

/** Where the cursor is goes out at most so often, ms. */
const CURSOR_MS = 100

/** Until an editor has what another one typed, ms: so they write at the same time without having seen each other. */
const TRAVEL_MS = 80

/** One copy of the document. */
export class Replica {
  readonly #document = new Y.Doc()
  readonly #text = this.#document.getText('text')

  constructor(id: number) {
    // Yjs would draw it by chance; the same seed shall give the same bytes.
    this.#document.clientID = id
  }

  get length(): number {
    return this.#text.length
  }

  /** Makes one change and gives its update, base64. */
  change(edit: (text: Y.Text) => void): string {
    let made: Uint8Array | undefined
    this.#document.once('update', update => {
      made = update
    })
    this.#document.transact(() => edit(this.#text))
    return Buffer.from(made as Uint8Array).toString('base64')
  }

  /** Takes an update of any copy, in any order and however often. */
  apply(update: string): void {
    Y.applyUpdate(this.#document, Buffer.from(update, 'base64'))
  }

  /** A place in the text that stays where it is while others write before it, and back. */
  mark = (index: number) => Y.createRelativePositionFromTypeIndex(this.#text, index)
  find = (mark: Y.RelativePosition) =>
    Y.createAbsolutePositionFromRelativePosition(mark, this.#document)?.index ?? this.length

  toString(): string {
    return this.#text.toString()
  }
}

/** Somebody who types whole sentences, with slips, and sometimes takes out what stands there. */
class Editor {
  readonly id: number
  readonly replica: Replica
  /** When the next key falls, ms. */
  atMs = 0
  readonly #random: () => number
  #mark: Y.RelativePosition
  #rest: string[] = []
  #cursorAtMs = Number.NEGATIVE_INFINITY

  constructor(id: number, random: () => number) {
    this.id = id
    this.#random = random
    this.replica = new Replica(id + 1)
    this.#mark = this.replica.mark(0)
  }

  /** Presses one key. */
  *key(): Generator<Cue, void, void> {
    const now = Math.round(this.atMs)
    const update = this.replica.change(text => this.#edit(text))
    yield { atMs: now, type: 'x.edit', data: { editor: this.id, update } satisfies Edit }
    if (now >= this.#cursorAtMs + CURSOR_MS) {
      this.#cursorAtMs = now
      const data = { editor: this.id, position: Y.relativePositionToJSON(this.#mark) }
      yield { atMs: now, type: 'x.cursor', data, ephemeral: true }
    }
    this.atMs += (1000 / KEYS_PER_SECOND) * (0.5 + this.#random())
    if (this.#rest.length === 0) this.atMs += pause(this.#random, THINKING_MS)
  }

  #edit(text: Y.Text): void {
    let place = this.replica.find(this.#mark)
    if (this.#rest.length === 0) {
      this.#rest = [...pick(sections(), this.#random).text.slice(0, 60 + this.#random() * 100), ' ']
      place = Math.floor(this.#random() * (text.length + 1))
    }
    const chance = this.#random()
    if (chance < 0.06 && place > 0) {
      text.delete(place - 1, 1)
      place -= 1
    } else if (chance < 0.08 && place < text.length) {
      text.delete(place, Math.min(12, text.length - place))
    } else {
      text.insert(place, this.#rest.shift() as string)
      place += 1
    }
    this.#mark = this.replica.mark(place)
  }
}

/**
 * Several editors of one document at a time. `data.editor` says who sends an event, from 0 on; the others get it.
 * @param editors how many, from 1 on
 */
export function* editing(seed: number, editors = 4): Content {
  const random = seeded(seed)
  const people = Array.from({ length: editors }, (_, id) => new Editor(id, seeded(seed * 31 + id)))
  for (const person of people) person.atMs = pause(random, THINKING_MS)
  const travelling: { atMs: number; edit: Edit }[] = []
  for (;;) {
    const next = people.reduce((first, person) => (person.atMs < first.atMs ? person : first))
    while (travelling[0] && travelling[0].atMs <= next.atMs) {
      const { editor, update } = (travelling.shift() as { edit: Edit }).edit
      for (const person of people) if (person.id !== editor) person.replica.apply(update)
    }
    for (const cue of next.key()) {
      if (cue.type === 'x.edit')
        travelling.push({ atMs: cue.atMs + TRAVEL_MS, edit: cue.data as unknown as Edit })
      yield cue
    }
  }
}

/** The text that a reader ends up with who got these updates in this order. */
export function textAfter(updates: Iterable<string>): string {
  const replica = new Replica(0)
  for (const update of updates) replica.apply(update)
  return replica.toString()
}
