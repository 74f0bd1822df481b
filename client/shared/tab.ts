/** This tab among the tabs that share: who leads, and the channels between them. */
import { newId } from '../command.ts'
import { Reader } from './feed.ts'
import { Hub, type Surroundings } from './hub.ts'
import type { CommonMessage, FeedPart, TabMessage, Wish } from './messages.ts'

/** How often a tab looks whether its leader answers, in ms. Browsers do it less often in hidden pages. */
const LOOK_MS = 1000

/** A leader that leaves so many looks unanswered is taken to be frozen. Looks, not time: this tab may have slept itself. */
const UNANSWERED = 4

/** How long a tab without streams stays, in ms. */
const IDLE_MS = 5000

/** A reader of this tab, wherever its feed is. */
export interface Attachment {
  /** Says that messages of so many characters were taken. */
  taken(chars: number): void
  detach(): void
}

/** Where tabs can share at all: Web Locks need a secure context, which `localhost` is as well. */
export function canShare(): boolean {
  return (
    typeof BroadcastChannel !== 'undefined' &&
    typeof MessageChannel !== 'undefined' &&
    !!globalThis.navigator?.locks
  )
}

/**
 * One client's place among the tabs of a name. The leader is the one that holds the lock of that name; when it closes, the
 * browser gives the lock to the next one. Each tab also holds a lock of its own, by which the leader learns that it is gone.
 */
export class Tab {
  readonly #name: string
  readonly #id = newId()
  readonly #surroundings: Surroundings
  readonly #onLeft: () => void
  readonly #common: BroadcastChannel
  readonly #inbox: BroadcastChannel
  readonly #channels = new Map<string, BroadcastChannel>()
  /** What this tab reads of the leader, by id. */
  readonly #remote = new Map<number, (part: FeedPart) => void>()
  /** As the leader: the readers of other tabs. */
  readonly #guests = new Map<string, { reader: Reader; detach: () => void }>()
  /** Tabs whose end this one waits for. */
  readonly #watched = new Set<string>()
  readonly #left = new AbortController()
  readonly #isMarked: Promise<void>
  #hub: Hub | undefined
  #leader: string | undefined
  #waiting: (() => void)[] = []
  /** When the leader began to lead: news of an older one come too late. */
  #since = 0
  #isAsleep = false
  #release: (() => void) | undefined
  #queued: AbortController | undefined
  #ids = 0
  #streams = 0
  #unanswered = 0
  /** Looks since this page was put to sleep. */
  #asleepFor = 0
  #look: ReturnType<typeof setInterval> | undefined
  #idle: ReturnType<typeof setTimeout> | undefined

  /** @param onLeft called when this tab takes part no more */
  constructor(name: string, surroundings: Surroundings, onLeft: () => void) {
    this.#name = name
    this.#surroundings = surroundings
    this.#onLeft = onLeft
    this.#common = new BroadcastChannel(name)
    this.#inbox = new BroadcastChannel(`${name} ${this.#id}`)
    this.#common.onmessage = ({ data }) => this.#heardOfAll(data)
    this.#inbox.onmessage = ({ data }) => this.#heard(data)
    const mine = `${name} ${this.#id}`
    // The leader takes this tab to be gone when it gets this lock, so this tab must have it first.
    this.#isMarked = new Promise(resolve => {
      const marked = () => {
        resolve()
        return this.#untilLeft()
      }
      navigator.locks.request(mine, marked).catch(() => resolve())
    })
    this.#ask()
    this.#common.postMessage({ type: 'who' } satisfies CommonMessage)
    this.#look = setInterval(() => this.#lookAround(), LOOK_MS)
    const { signal } = this.#left
    const sleep = () => this.#sleep()
    const wake = () => this.#wakeUp()
    globalThis.document?.addEventListener('freeze', sleep, { signal })
    globalThis.document?.addEventListener('resume', wake, { signal })
    globalThis.addEventListener?.('pagehide', sleep, { signal })
    globalThis.addEventListener?.('pageshow', wake, { signal })
  }

  /** Counts a stream of this tab. Returns the function that ends the count. */
  enter(): () => void {
    clearTimeout(this.#idle)
    this.#streams += 1
    return () => {
      this.#streams -= 1
      if (this.#streams === 0) this.#idle = setTimeout(() => this.#leave(), IDLE_MS)
    }
  }

  /** Attaches a reader to the leader's feed, once there is a leader. Its parts come in order. */
  async attach(wish: Wish, receive: (part: FeedPart) => void, signal: AbortSignal): Promise<Attachment> {
    await this.#isMarked
    while (!this.#leader && !signal.aborted) {
      await new Promise<void>(resolve => {
        this.#waiting.push(resolve)
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
    }
    if (signal.aborted) return { taken: () => {}, detach: () => {} }
    if (this.#hub) {
      const reader = new Reader(receive)
      const detach = this.#hub.attach(wish, reader)
      return { taken: chars => reader.taken(chars), detach }
    }
    const id = ++this.#ids
    const leader = this.#leader as string
    const from = this.#id
    this.#remote.set(id, receive)
    this.#send(leader, { type: 'attach', from, id, wish })
    return {
      taken: chars => this.#send(leader, { type: 'taken', from, id, chars }),
      detach: () => {
        if (this.#remote.delete(id)) this.#send(leader, { type: 'detach', from, id })
      },
    }
  }

  /** Asks for the lock of the leader. `steal` takes it from a leader that does not answer. */
  #ask(steal = false): void {
    this.#queued?.abort()
    const queued = new AbortController()
    this.#queued = queued
    const options = steal ? { steal } : { signal: queued.signal }
    const ended = () => {
      // Otherwise another request has taken the place of this one.
      if (this.#queued !== queued) return
      this.#stepDown()
      if (!this.#isAsleep && !this.#left.signal.aborted) this.#ask()
    }
    navigator.locks.request(this.#name, options, () => this.#lead()).then(ended, ended)
  }

  /** Leads until it steps down or the lock is taken from it. */
  #lead(): Promise<void> | undefined {
    if (this.#isAsleep || this.#left.signal.aborted) return undefined
    this.#hub = new Hub(this.#surroundings)
    this.#leader = this.#id
    this.#since = Math.max(Date.now(), this.#since + 1)
    this.#detachAll()
    this.#announce()
    this.#hasLeader()
    return new Promise<void>(resolve => {
      this.#release = resolve
    })
  }

  #announce(): void {
    this.#common.postMessage({ type: 'leader', id: this.#id, since: this.#since } satisfies CommonMessage)
  }

  /** A page that is put to sleep must not lead, nor wait for it. */
  #sleep(): void {
    this.#isAsleep = true
    this.#asleepFor = 0
    this.#queued?.abort()
    this.#stepDown()
  }

  #wakeUp(): void {
    if (!this.#isAsleep) return
    this.#isAsleep = false
    this.#unanswered = 0
    this.#ask()
    this.#common.postMessage({ type: 'who' } satisfies CommonMessage)
  }

  #stepDown(): void {
    const hub = this.#hub
    if (!hub) return
    this.#hub = undefined
    this.#leader = undefined
    this.#since = 0
    this.#unanswered = 0
    hub.close()
    this.#guests.clear()
    for (const channel of this.#channels.values()) channel.close()
    this.#channels.clear()
    this.#release?.()
    this.#release = undefined
  }

  #heardOfAll(message: CommonMessage): void {
    if (message.type === 'who') {
      if (this.#hub) this.#announce()
      return
    }
    if (message.since < this.#since || message.id === this.#id) return
    this.#unanswered = 0
    if (message.since === this.#since && message.id === this.#leader) return
    // This one was paused while another took the lock; it will hear of that as well.
    if (this.#hub) this.#stepDown()
    this.#since = message.since
    this.#leader = message.id
    this.#detachAll()
    this.#hasLeader()
  }

  #heard(message: TabMessage): void {
    const { from } = message
    if (message.type === 'part' || message.type === 'pong') {
      if (from !== this.#leader) return
      this.#unanswered = 0
      if (message.type === 'part') this.#remote.get(message.id)?.(message.part)
      return
    }
    // Once it leads no more, whoever asks finds the new leader.
    if (!this.#hub) return
    if (message.type === 'ping') return this.#send(from, { type: 'pong', from: this.#id })
    const key = `${from} ${message.id}`
    if (message.type === 'attach') {
      const { id } = message
      const reader = new Reader(part => this.#send(from, { type: 'part', from: this.#id, id, part }))
      this.#guests.set(key, { reader, detach: this.#hub.attach(message.wish, reader) })
      if (!this.#watched.has(from)) this.#untilGone(from)
    } else if (message.type === 'taken') this.#guests.get(key)?.reader.taken(message.chars)
    else {
      this.#guests.get(key)?.detach()
      this.#guests.delete(key)
    }
  }

  /** A tab that is gone gave its own lock back. */
  #untilGone(tab: string): void {
    const { signal } = this.#left
    this.#watched.add(tab)
    const gone = () => {
      this.#watched.delete(tab)
      for (const [key, { detach }] of [...this.#guests]) {
        if (!key.startsWith(tab)) continue
        detach()
        this.#guests.delete(key)
      }
      this.#channels.get(tab)?.close()
      this.#channels.delete(tab)
    }
    void navigator.locks.request(`${this.#name} ${tab}`, { signal }, gone).catch(() => {})
  }

  /** Finds a leader that is frozen: one that closes gives the lock back. */
  #lookAround(): void {
    // A frozen page has no timers: this one is awake, whatever the browser said.
    if (this.#isAsleep && ++this.#asleepFor > UNANSWERED) this.#wakeUp()
    if (this.#hub || this.#isAsleep || this.#streams === 0) return
    if (this.#leader) this.#send(this.#leader, { type: 'ping', from: this.#id })
    else this.#common.postMessage({ type: 'who' } satisfies CommonMessage)
    // Spread, so that not all tabs take it at once.
    if (++this.#unanswered > UNANSWERED * (1 + Math.random())) {
      this.#unanswered = 0
      this.#ask(true)
    }
  }

  #detachAll(): void {
    const all = [...this.#remote.values()]
    this.#remote.clear()
    for (const receive of all) receive({ type: 'detached' })
  }

  #hasLeader(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #send(tab: string, message: TabMessage): void {
    let channel = this.#channels.get(tab)
    if (!channel) {
      channel = new BroadcastChannel(`${this.#name} ${tab}`)
      this.#channels.set(tab, channel)
    }
    channel.postMessage(message)
  }

  #untilLeft(): Promise<void> {
    return new Promise(resolve => this.#left.signal.addEventListener('abort', () => resolve()))
  }

  #leave(): void {
    this.#onLeft()
    clearInterval(this.#look)
    this.#left.abort()
    this.#queued?.abort()
    this.#stepDown()
    this.#detachAll()
    for (const channel of this.#channels.values()) channel.close()
    this.#common.close()
    this.#inbox.close()
  }
}
