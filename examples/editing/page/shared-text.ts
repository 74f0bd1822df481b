/** This page's copy of the document: follows the session, sends what is typed here, and knows the cursors of the others. */
import type { ClientError, Session } from 'twinrail-client'
import * as Y from 'yjs'
import { person } from '../../shared/person.ts'
import { applyUpdate, Changes, coAuthor, type schemas, textOf } from '../document.ts'

/** Keys pressed within this time make one event, in ms. */
const SEND_MS = 40
/** Time between two positions of the cursor that are sent, in ms. */
const CURSOR_MS = 80

/** What the page shows besides the text. It never changes; a change makes a new one. */
export interface TextState {
  /** Whether the log was read to its end. */
  isLive: boolean
  /** Whether the server has everything that was typed here. */
  isSaved: boolean
  problem: string | undefined
  /** The run of the co-author that is writing. */
  writing: { runId: string; instruction: string } | undefined
}

interface Peer {
  user: { name: string; color: string }
  cursor: { anchor: unknown; head: unknown } | null
}

export class SharedText {
  readonly doc = new Y.Doc()
  readonly text = textOf(this.doc)
  readonly cursors: Cursors
  readonly #session: Session<typeof schemas>
  readonly #changes = new Changes(this.doc)
  readonly #listeners = new Set<() => void>()
  #state: TextState = { isLive: false, isSaved: true, problem: undefined, writing: undefined }

  constructor(session: Session<typeof schemas>) {
    this.#session = session
    this.cursors = new Cursors(this.doc, cursor => {
      const { name, colour } = person
      const data = { client: this.doc.clientID, name, colour, cursor }
      return session.publish('x.doc.cursor', data, { ephemeral: true })
    })
    this.#changes.onChange = () => {
      this.#show({ isSaved: false })
      setTimeout(() => void this.#send(), SEND_MS)
    }
    void this.#follow()
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  readonly getSnapshot = (): TextState => this.#state

  #show(change: Partial<TextState>): void {
    this.#state = { ...this.#state, ...change }
    for (const listener of this.#listeners) listener()
  }

  async #follow(): Promise<void> {
    try {
      for await (const event of this.#session.events({ create: true })) {
        switch (event.type) {
          case 'x.doc.update':
            applyUpdate(this.doc, event.data.update)
            break
          case 'x.doc.cursor':
            this.cursors.take(event.data)
            break
          case 'run.started': {
            const { instruction } = event.data.input as { instruction: string }
            this.#show({ writing: { runId: event.runId ?? '', instruction } })
            break
          }
          case 'run.completed':
          case 'run.cancelled':
          case 'run.failed':
            if (event.runId === this.#state.writing?.runId) this.#show({ writing: undefined })
            if (event.type === 'run.failed' && this.#state.isLive)
              this.#show({ problem: `The co-author failed: ${event.data.message}` })
            break
          case 'caught-up':
            this.#show({ isLive: true })
            break
          case 'reset':
            // The server lost its log. This copy has the text.
            await this.#session.publish('x.doc.update', { update: this.#changes.whole() })
        }
      }
    } catch (error) {
      this.#show({ problem: (error as Error).message })
    }
  }

  /** Sends what was typed. The client repeats a request until the server has it, and the log has it once. */
  async #send(): Promise<void> {
    const update = this.#changes.take()
    if (!update) return this.#show({ isSaved: true })
    // What is typed meanwhile is sent together afterwards.
    const { onChange } = this.#changes
    this.#changes.onChange = () => {}
    try {
      await this.#session.publish('x.doc.update', { update })
    } catch (error) {
      const { code, message } = error as ClientError
      if (code !== 'closed')
        this.#show({ problem: `A change was refused: ${message}. Reload to see the shared text.` })
    }
    this.#changes.onChange = onChange
    if (this.#changes.some) onChange()
    else this.#show({ isSaved: true })
  }

  /** Where the cursor is, for the co-author. */
  placeOf(index: number): Record<string, unknown> {
    return Y.relativePositionToJSON(Y.createRelativePositionFromTypeIndex(this.text, index))
  }
}

type Send = (
  cursor: { anchor: Record<string, unknown>; head: Record<string, unknown> } | null,
) => Promise<unknown>

/** The cursors of all participants: the part of an "awareness" that y-codemirror needs, over ephemeral events. */
export class Cursors {
  readonly doc: Y.Doc
  readonly #send: Send
  readonly #states = new Map<number, Peer>()
  readonly #listeners = new Set<(change: { added: number[]; updated: number[]; removed: number[] }) => void>()
  #sending: ReturnType<typeof setTimeout> | undefined

  constructor(doc: Y.Doc, send: Send) {
    this.doc = doc
    this.#send = send
    this.#states.set(doc.clientID, { user: { name: person.name, color: person.colour }, cursor: null })
  }

  getStates = () => this.#states
  getLocalState = () => this.#states.get(this.doc.clientID)
  on(
    _: 'change',
    listener: (change: { added: number[]; updated: number[]; removed: number[] }) => void,
  ): void {
    this.#listeners.add(listener)
  }
  off(
    _: 'change',
    listener: (change: { added: number[]; updated: number[]; removed: number[] }) => void,
  ): void {
    this.#listeners.delete(listener)
  }

  /** Called by y-codemirror with the own cursor. */
  setLocalStateField(_: 'cursor', cursor: Peer['cursor']): void {
    this.#states.set(this.doc.clientID, { ...this.getLocalState()!, cursor })
    this.share()
  }

  /** Sends the own cursor, soon. */
  share(): void {
    this.#sending ??= setTimeout(() => {
      this.#sending = undefined
      const { cursor } = this.getLocalState()!
      const json = (place: unknown) => Y.relativePositionToJSON(place as Y.RelativePosition)
      this.#send(cursor && { anchor: json(cursor.anchor), head: json(cursor.head) }).catch(() => {})
    }, CURSOR_MS)
  }

  /** Takes the cursor of another participant. */
  take(event: { client: number; name: string; colour: string; cursor: Peer['cursor'] }): void {
    const { client, name, colour, cursor } = event
    if (client === this.doc.clientID) return
    const placeOf = (json: unknown) => Y.createRelativePositionFromJSON(json)
    const places = cursor && { anchor: placeOf(cursor.anchor), head: placeOf(cursor.head) }
    if (places) this.#states.set(client, { user: { name, color: colour }, cursor: places })
    else this.#states.delete(client)
    this.#changed(client)
  }

  /** Forgets the cursors of those who have left, and tells the own one to those who have come. */
  keep(clients: readonly number[]): void {
    for (const [client, { user }] of this.#states) {
      if (clients.includes(client) || client === this.doc.clientID || user.name === coAuthor.name) continue
      this.#states.delete(client)
      this.#changed(client)
    }
    if (this.getLocalState()?.cursor) this.share()
  }

  #changed(client: number): void {
    for (const listener of this.#listeners) listener({ added: [], updated: [client], removed: [] })
  }
}
