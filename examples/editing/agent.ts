/** The co-author: an agent that edits the document as another participant, with a copy and a cursor of its own. */
import { setTimeout } from 'node:timers/promises'
import { defineAgent, type EventBody, type RunContext, type RunResult, type ServerSessions } from 'twinrail'
import * as Y from 'yjs'
import { applyUpdate, Changes, type CursorEvent, coAuthor, Instruction, textOf } from './document.ts'
import { proseOf, type Writer } from './writer.ts'

/** The co-author types in steps of this length, in ms, so much at a time. */
const STEP_MS = 40
const TYPED = 3
const ERASED = 12

/** The end of the text, as a place to shorten at, is that of its last paragraph. */
const PARAGRAPH_BREAK = /\n{2,}/g

/** What the co-author needs of its server. */
export interface Room {
  events: ServerSessions['events']
  /** Sends an ephemeral event to all who watch the session. */
  show(sessionId: string, event: CursorEvent): void
}

export function coAuthorAgent(room: Room, writer: Writer) {
  return defineAgent({
    name: coAuthor.agent,
    description: 'Edits the document together with its readers: continues, shortens, or adds headings.',
    input: Instruction,
    inputText: ({ instruction }) => instruction,
    async *run({ instruction, at }, context): AsyncGenerator<EventBody, RunResult, void> {
      const copy = await Copy.of(room, context)
      const text = () => copy.text.toString()
      let written = 0
      try {
        if (instruction === 'continue') {
          const gap = /\n\n$|^$/.test(text()) ? '' : text().endsWith('\n') ? '\n' : '\n\n'
          yield* copy.write(text().length, prepended(gap, writer.continuation(text())))
        } else if (instruction === 'shorten') {
          const { from, to } = paragraphAt(text(), at ? copy.find(at) : text().length)
          const paragraph = text().slice(from, to)
          if (paragraph.trim() === '') return { result: { written } }
          const place = copy.mark(from)
          const shorter = writer.shorter(paragraph, text())
          yield* copy.erase(from, to)
          yield* copy.write(copy.find(place), shorter)
        } else {
          for (const paragraph of proseOf(text())) {
            // Others may have changed it meanwhile.
            const from = text().indexOf(paragraph)
            if (from < 0 || hasHeading(text(), from)) continue
            yield* copy.write(from, enclosed('## ', writer.heading(paragraph, text()), '\n\n'))
          }
        }
        written = copy.written
        return { result: { written } }
      } finally {
        copy.close()
      }
    },
  })
}

async function* prepended(before: string, pieces: AsyncIterable<string>): AsyncGenerator<string> {
  yield before
  yield* pieces
}

async function* enclosed(
  before: string,
  pieces: AsyncIterable<string>,
  after: string,
): AsyncGenerator<string> {
  yield* prepended(before, pieces)
  yield after
}

/** The paragraph around a place. */
function paragraphAt(text: string, place: number): { from: number; to: number } {
  let from = 0
  for (const { index, 0: gap } of text.matchAll(PARAGRAPH_BREAK)) {
    if (index >= place) return { from, to: index }
    from = index + gap.length
  }
  return { from, to: text.trimEnd().length }
}

const hasHeading = (text: string, from: number) => /(^|\n)#{1,6} [^\n]*\n+$/.test(text.slice(0, from))

/** A copy of the document that follows the log, and types into it step by step. */
class Copy {
  readonly #doc = new Y.Doc()
  readonly text = textOf(this.#doc)
  /** How many letters it has written. */
  written = 0
  readonly #changes = new Changes(this.#doc)
  readonly #room: Room
  readonly #context: RunContext

  /** Reads the log to its end and follows it as long as the run lasts. */
  static async of(room: Room, context: RunContext): Promise<Copy> {
    const copy = new Copy(room, context)
    const { sessionId, signal } = context
    let after: string | undefined
    const take = (event: { type: string }) => {
      const { type, data, offset } = event as { type: string; data: { update: string }; offset?: string }
      if (type === 'x.doc.update') applyUpdate(copy.#doc, data.update)
      if (offset) after = offset
    }
    for await (const event of room.events(sessionId)) take(event)
    const follow = async () => {
      for await (const event of room.events(sessionId, { ...(after && { after }), follow: true, signal }))
        take(event)
    }
    // Without the log there is no run either.
    follow().catch(() => {})
    return copy
  }

  constructor(room: Room, context: RunContext) {
    this.#room = room
    this.#context = context
  }

  close(): void {
    this.#point(undefined)
    this.#doc.destroy()
  }

  /** A place that stays where it is while others write before it. */
  mark(index: number): object {
    return Y.relativePositionToJSON(Y.createRelativePositionFromTypeIndex(this.text, index, -1))
  }

  /** Where a mark is now. */
  find(mark: object): number {
    const place = Y.createRelativePositionFromJSON(mark)
    return Y.createAbsolutePositionFromRelativePosition(place, this.#doc)?.index ?? this.text.length
  }

  /** Types what comes, from a place on. */
  async *write(index: number, pieces: AsyncIterable<string>): AsyncGenerator<EventBody, void, void> {
    let mark = this.mark(index)
    for await (const piece of pieces) {
      for (let at = 0; at < piece.length; at += TYPED) {
        const letters = piece.slice(at, at + TYPED)
        const place = this.find(mark)
        this.text.insert(place, letters)
        this.written += letters.length
        mark = this.mark(place + letters.length)
        yield* this.#step(mark)
      }
    }
  }

  /** Takes a stretch of the text out, from its end. */
  async *erase(from: number, to: number): AsyncGenerator<EventBody, void, void> {
    const start = this.mark(from)
    let end = this.mark(to)
    for (;;) {
      const last = this.find(end)
      const length = Math.min(ERASED, last - this.find(start))
      if (length <= 0) return
      this.text.delete(last - length, length)
      end = this.mark(last - length)
      yield* this.#step(end)
    }
  }

  async *#step(mark: object): AsyncGenerator<EventBody, void, void> {
    const update = this.#changes.take()
    if (update) yield { type: 'x.doc.update', data: { update } }
    this.#point(mark)
    await setTimeout(STEP_MS, undefined, { signal: this.#context.signal })
  }

  #point(mark: object | undefined): void {
    const { name, colour } = coAuthor
    const place = mark as Record<string, unknown> | undefined
    const cursor = place ? { anchor: place, head: place } : null
    this.#room.show(this.#context.sessionId, {
      type: 'x.doc.cursor',
      data: { client: this.#doc.clientID, name, colour, cursor },
    })
  }
}
