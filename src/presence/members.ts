/**
 * Who is present in a session, on all nodes. A member says so again and again; each time makes a mark of the session, which
 * expires. So a member outlives a reconnect, a change of transport and a move to another node, and leaves when it is silent.
 */
import type { Journal } from '../bus/journal.ts'
import type { Mark } from '../log/log.ts'
import { TwinrailError } from '../protocol/index.ts'
import { type Cancel, startTimer } from '../protocol/timers.ts'

/** Members of one session. */
export const MEMBERS = 1000

/** Members that this process keeps alive, in all sessions. */
const ALL_MEMBERS = 100_000

/** How long a silent member stays, in ms. */
const PRESENT_MS = 45_000

/** How often a member is to say that it is there, in ms, and what each member of its session adds to that. */
const RENEW_MS = 15_000
const RENEW_MS_PER_MEMBER = 10

/** Changes of this time are told together, in ms. */
const COALESCE_MS = 200

/** Changes that one event tells; of more it says only that the list is to be read again. */
const TOLD = 100

/** Size of the list of members, in UTF-16 units of JSON. */
const LIST_CHARS = 768 * 1024

const KIND = 'here '

/** One member of a session. A principal has several, for example one for each tab. */
export interface Member {
  /** Chosen by the client. Unique among those of the same principal. */
  readonly memberId: string
  readonly principal: string
  /** When it joined, in ms since 1970. */
  readonly since: number
  /** What it shows to others. */
  readonly state?: unknown
}

/** The answer to a member that said that it is there. */
export interface Present {
  readonly since: number
  /** It is to say so again after this time, in ms. */
  readonly renewMs: number
}

/** The `data` of `presence.changed`. */
interface Changes {
  joined: Member[]
  updated: Member[]
  left: { memberId: string; principal: string }[]
  /** There were more: read the list. */
  truncated?: true
}

/** A member that this process heard of last. */
interface Held {
  readonly member: Member
  readonly mark: string
  cancel: Cancel
}

interface Room {
  readonly held: Map<string, Held>
  readonly changes: Map<string, keyof Omit<Changes, 'truncated'>>
  /** The newest of each, for the changes. */
  readonly members: Map<string, Member>
  /** Members of the session when they were last counted. */
  count: number
  telling: Cancel | undefined
}

const keyOf = ({ principal, memberId }: Pick<Member, 'principal' | 'memberId'>) => `${memberId} ${principal}`

/** A member as a mark tells it. Its state is read only where somebody asks for it: a room is read at each change. */
interface Marked {
  readonly memberId: string
  readonly principal: string
  readonly since: number
  /** The time of its last change, in ms since 1970: of two marks of a member the newer one counts. */
  readonly at: number
  /** The state as JSON in base64url; empty without one. */
  readonly state: string
}

const encoded = (text: string) => Buffer.from(text).toString('base64url')
const decoded = (text: string) => Buffer.from(text, 'base64url').toString()
const stateText = (state: unknown) => (state === undefined ? '' : encoded(JSON.stringify(state)))

function markOf({ memberId, principal, since, at, state }: Marked): string {
  // JSON keeps the halves of surrogate pairs that a principal may have; UTF-8 does not.
  return KIND + [memberId, encoded(JSON.stringify(principal)), since, at, state].join(' ')
}

function readMark(mark: string): Marked {
  const [memberId = '', principal = '', since, at, state = ''] = mark.slice(KIND.length).split(' ')
  const id = JSON.parse(decoded(principal)) as string
  return { memberId, principal: id, since: Number(since), at: Number(at), state }
}

function memberOf({ memberId, principal, since, state }: Marked): Member {
  return { memberId, principal, since, ...(state !== '' && { state: JSON.parse(decoded(state)) as unknown }) }
}

export class Members {
  readonly #journal: Journal
  readonly #rooms = new Map<string, Room>()
  readonly #presentMs: number
  #count = 0
  #closed = false

  /** @param presentMs how long a silent member stays, in ms */
  constructor(journal: Journal, presentMs = PRESENT_MS) {
    this.#journal = journal
    this.#presentMs = presentMs
  }

  /**
   * The members of a session, those first that joined first; at most {@link MEMBERS}, and less where their states are too
   * large for one answer.
   */
  async list(sessionId: string): Promise<{ members: Member[]; truncated?: true }> {
    const all = [...(await this.#read(sessionId)).values()].sort((a, b) => a.since - b.since)
    const members: Member[] = []
    let room = LIST_CHARS
    for (const marked of all) {
      const member = memberOf(marked)
      room -= JSON.stringify(member).length
      if (room < 0 || members.length === MEMBERS) return { members, truncated: true }
      members.push(member)
    }
    return { members }
  }

  /**
   * Says that a member is there. Others are told when it was not, or when its state is another one.
   * @throws TwinrailError `conflict` when the session has as many members as may be; `rate-limited` when this process has
   */
  async enter(sessionId: string, { memberId, principal, state }: Omit<Member, 'since'>): Promise<Present> {
    const room = this.#room(sessionId)
    const key = keyOf({ memberId, principal })
    const known = room.held.get(key)
    const text = stateText(state)
    const isSame = known && stateText(known.member.state) === text
    if (known && isSame) {
      await this.#hold(sessionId, room, known.member, known.mark)
      return { since: known.member.since, renewMs: renewMs(room) }
    }
    if (!known && this.#count >= ALL_MEMBERS) {
      this.#forgetEmpty(sessionId, room)
      throw new TwinrailError('rate-limited', 'the server has too many members; try again later', {
        retryAfterMs: 10_000,
      })
    }
    // Another node may have it: then it has not joined, it has moved.
    const all = await this.#read(sessionId)
    const there = all.get(key)
    room.count = all.size
    if (!there && all.size >= MEMBERS) {
      this.#forgetEmpty(sessionId, room)
      throw new TwinrailError('conflict', `the session has ${MEMBERS} members, which is the maximum`, {
        details: { present: all.size, max: MEMBERS },
      })
    }
    if (!there) room.count++
    const now = Date.now()
    const since = there?.since ?? now
    const member: Member = { memberId, principal, since, ...(state !== undefined && { state }) }
    const isNews = there?.state !== text
    const mark = markOf({ ...member, state: text, at: isNews ? now : there.at })
    await this.#hold(sessionId, room, member, mark)
    if (there && isNews) await this.#journal.mark(sessionId, markOf(there), 0)
    if (isNews) this.#tell(sessionId, room, member, there ? 'updated' : 'joined')
    return { since, renewMs: renewMs(room) }
  }

  /** A member leaves without waiting until it is missed. Does nothing when it is not there. */
  async leave(sessionId: string, member: Pick<Member, 'memberId' | 'principal'>): Promise<void> {
    const there = (await this.#read(sessionId)).get(keyOf(member))
    if (!there) return
    await this.#journal.mark(sessionId, markOf(there), 0)
    const room = this.#room(sessionId)
    this.#drop(room, keyOf(member))
    room.count = Math.max(0, room.count - 1)
    this.#tell(sessionId, room, memberOf(there), 'left')
  }

  close(): void {
    this.#closed = true
    for (const { held, telling } of this.#rooms.values()) {
      telling?.()
      for (const { cancel } of held.values()) cancel()
    }
    this.#rooms.clear()
  }

  #room(sessionId: string): Room {
    const room = this.#rooms.get(sessionId) ?? {
      held: new Map(),
      changes: new Map(),
      members: new Map(),
      count: 0,
      telling: undefined,
    }
    this.#rooms.set(sessionId, room)
    return room
  }

  #forgetEmpty(sessionId: string, room: Room): void {
    if (room.held.size === 0 && !room.telling && this.#rooms.get(sessionId) === room)
      this.#rooms.delete(sessionId)
  }

  async #read(sessionId: string): Promise<Map<string, Marked>> {
    const members = new Map<string, Marked>()
    for (const { name } of await this.#journal.marks(sessionId, KIND)) {
      const member = readMark(name)
      const key = keyOf(member)
      if ((members.get(key)?.at ?? -1) < member.at) members.set(key, member)
    }
    return members
  }

  async #hold(sessionId: string, room: Room, member: Member, mark: string): Promise<void> {
    const key = keyOf(member)
    await this.#journal.mark(sessionId, mark, this.#presentMs)
    if (this.#closed) return
    this.#drop(room, key)
    this.#count++
    const missed = () => void this.#missed(sessionId, room, key).catch(() => {})
    // The log's own clock decides, so this one waits a little longer.
    const cancel = startTimer(this.#presentMs * 1.01, missed, { unref: true })
    room.held.set(key, { member, mark, cancel })
    this.#rooms.set(sessionId, room)
  }

  #drop(room: Room, key: string): void {
    const held = room.held.get(key)
    if (!held) return
    held.cancel()
    room.held.delete(key)
    this.#count--
  }

  /** A member was silent here. It has left, unless another node has heard of it since. */
  async #missed(sessionId: string, room: Room, key: string): Promise<void> {
    const held = room.held.get(key)
    this.#drop(room, key)
    this.#forgetEmpty(sessionId, room)
    const all = await this.#read(sessionId)
    if (this.#closed || !held || all.has(key) || room.held.has(key)) return
    room.count = all.size
    this.#tell(sessionId, room, held.member, 'left')
  }

  #tell(sessionId: string, room: Room, member: Member, change: keyof Omit<Changes, 'truncated'>): void {
    if (this.#closed) return
    const key = keyOf(member)
    const before = room.changes.get(key)
    // Who came and changed has come; who came and left was never there.
    if (before === 'joined' && change === 'left') room.changes.delete(key)
    else if (before === 'left' && change === 'joined') room.changes.set(key, 'updated')
    else if (!(before === 'joined' && change === 'updated')) room.changes.set(key, change)
    room.members.set(key, member)
    this.#rooms.set(sessionId, room)
    room.telling ??= startTimer(COALESCE_MS, () => void this.#flush(sessionId, room), { unref: true })
  }

  async #flush(sessionId: string, room: Room): Promise<void> {
    const data: Changes = { joined: [], updated: [], left: [] }
    let told = 0
    for (const [key, change] of room.changes) {
      const member = room.members.get(key) as Member
      if (told++ === TOLD) {
        data.truncated = true
        break
      }
      if (change === 'left') data.left.push({ memberId: member.memberId, principal: member.principal })
      else data[change].push(member)
    }
    room.changes.clear()
    room.members.clear()
    room.telling = undefined
    this.#forgetEmpty(sessionId, room)
    if (told === 0) return
    // Lost when the log is away: whoever shows the members reads the list again now and then.
    await this.#journal.publishEphemeral(sessionId, { type: 'presence.changed', data }).catch(() => {})
  }
}

function renewMs({ count }: Room): number {
  return RENEW_MS + count * RENEW_MS_PER_MEMBER
}

/** Whether the mark is that of a member. */
export function isMember({ name }: Pick<Mark, 'name'>): boolean {
  return name.startsWith(KIND)
}
