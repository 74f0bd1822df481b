/** Rooms whose members send commands, in a process of its own. Every event is checked at every member. */
import { Agent, request } from 'node:http'
import { micros } from '../clock.ts'
import { isTerminal } from '../package/protocol.ts'
import { nchanPaths } from '../peers/nchan.ts'
import { serveWorker } from '../serve.ts'
import { quantile } from '../stats.ts'
import { connectMember, type Member, type RoomEvent } from './member.ts'

/** What the members do. */
export type Work = 'publish' | 'post' | 'run' | 'steer' | 'answer'

/** The rooms of one measurement. */
export interface Rooms {
  readonly server: string
  readonly port: number
  readonly sessions: number
  /** Members of a session; all follow it, and the first one sends. */
  readonly members: number
}

/** What was measured while the members worked. */
export interface Worked {
  /** Commands that were acked, or tokens of runs. */
  readonly count: number
  readonly seconds: number
  /** Events that the members were sent. */
  readonly delivered: number
  /** From a command to its ack, in ms. */
  readonly p50Ms: number
  readonly p99Ms: number
  /** Events that were missing, doubled or out of order. */
  readonly faults: number
}

interface Room {
  readonly sessionId: string
  readonly members: readonly Member[]
}

/** Tokens of a run. */
const RUN_TOKENS = 50

let rooms: Room[] = []
let where: Rooms
let made = 0
const connections = new Agent({ keepAlive: true })

export type CommandLoadHandlers = typeof handlers

const handlers = {
  /** Connects everybody; resolves once all follow their session. */
  async open(wanted: Rooms): Promise<void> {
    where = wanted
    rooms = await Promise.all(Array.from({ length: wanted.sessions }, () => openRoom(wanted)))
  },

  /**
   * Each session has so many commands answered, `pipeline` of them at the same time, or so many runs, one after the other.
   * Resolves once each member has every event.
   */
  async work(work: Work, count: number, pipeline: number): Promise<Worked> {
    const all = rooms.flatMap(({ members }) => members)
    for (const member of all) member.delaysUs.length = 0
    let delivered = 0
    let faults = 0
    const expected = work === 'run' ? count * RUN_TOKENS : count
    const waits = rooms.map(room =>
      Promise.all(
        room.members.map(member =>
          expect(member, work, expected, (isRight: boolean) => {
            delivered++
            if (!isRight) faults++
          }),
        ),
      ),
    )
    const began = micros()
    const delays = (await Promise.all(rooms.map(room => send(room, work, count, pipeline)))).flat()
    await Promise.all(waits)
    const seconds = (micros() - began) / 1e6
    const us = delays.length > 0 ? delays : rooms.flatMap(({ members }) => members[0]?.delaysUs ?? [])
    return {
      count: expected * rooms.length,
      seconds,
      delivered,
      p50Ms: quantile(us, 0.5) / 1000,
      p99Ms: quantile(us, 0.99) / 1000,
      faults,
    }
  },

  close(): void {
    for (const { members } of rooms) for (const member of members) member.close()
    rooms = []
  },
}

async function openRoom({ server, port, members: count }: Rooms): Promise<Room> {
  const sessionId = `room-${process.pid}-${made++}`
  const members = []
  for (let i = 0; i < count; i++) {
    const member = await connectMember(server, port, sessionId)
    await member.send({ type: 'subscribe', sessionId, create: true, replay: 'none' })
    members.push(member)
  }
  return { sessionId, members }
}

/** The type of the events that are counted, and the number of one in its work. */
const counted: Record<Work, { type: string; of(event: RoomEvent): number }> = {
  publish: { type: 'x.note', of: ({ data }) => data['n'] as number },
  post: { type: 'x.note', of: ({ data }) => data['n'] as number },
  run: { type: 'text.delta', of: ({ data }) => Number(/\d+/.exec(data['delta'] as string)?.[0]) },
  steer: { type: 'input.steered', of: ({ data }) => Number(data['text']) },
  answer: { type: 'input.answered', of: ({ data }) => data['value'] as number },
}

/**
 * Resolves once a member has all events of the work, each right after the one before. POSTs go over several connections:
 * of them each event comes once, in any order.
 */
function expect(
  member: Member,
  work: Work,
  count: number,
  onEvent: (isRight: boolean) => void,
): Promise<void> {
  const { type, of } = counted[work]
  let next = 0
  const seen = new Set<number>()
  return new Promise(resolve => {
    member.onEvent = event => {
      if (event.type !== type) return
      const n = of(event)
      if (work === 'post') onEvent(n < count && !seen.has(n))
      else onEvent(n === (work === 'run' ? next % RUN_TOKENS : next))
      seen.add(n)
      if (++next === count) resolve()
    }
  })
}

/** 64 bytes with the number, as a note of a chat or a move of a game has. */
const note = (n: number) => ({ type: 'x.note', data: { n, text: 'x'.repeat(40) } })

/** Sends the commands of one room. @returns the times to the answers of POSTs, in µs */
async function send(
  { sessionId, members }: Room,
  work: Work,
  count: number,
  pipeline: number,
): Promise<number[]> {
  const sender = members[0] as Member
  const delaysUs: number[] = []
  if (work === 'run') {
    for (let run = 0; run < count; run++) {
      const ended = endOfRun(sender)
      await sender.send({ type: 'run.start', sessionId, agent: 'tokens', input: { count: RUN_TOKENS } })
      await ended
    }
    return delaysUs
  }
  if (work === 'answer') {
    const check = sender.onEvent
    let answered = 0
    sender.onEvent = event => {
      check(event)
      if (event.type !== 'input.requested') return
      void sender.send({
        type: 'input.answer',
        sessionId,
        requestId: event.data['requestId'],
        value: answered++,
      })
    }
    await sender.send({ type: 'run.start', sessionId, agent: 'asker', input: { count } })
    return delaysUs
  }
  let runId: string | undefined
  if (work === 'steer') {
    const started = await sender.send({ type: 'run.start', sessionId, agent: 'listener', input: { count } })
    runId = started.runId
  }
  let next = 0
  const lane = async () => {
    while (next < count) {
      const n = next++
      if (work === 'post') delaysUs.push(await post(sessionId, n))
      else if (work === 'steer') await sender.send({ type: 'input.steer', sessionId, runId, text: String(n) })
      else await sender.send({ type: 'publish', sessionId, event: note(n) })
    }
  }
  await Promise.all(Array.from({ length: pipeline }, lane))
  return delaysUs
}

/** Resolves when the member is told that a run ended; rejects when it did not end well. */
function endOfRun(member: Member): Promise<void> {
  const check = member.onEvent
  return new Promise((resolve, reject) => {
    member.onEvent = event => {
      check(event)
      if (event.type === 'run.completed') resolve()
      else if (isTerminal(event.type)) reject(new Error(`a run ended with ${event.type}`))
      else return
      member.onEvent = check
    }
  })
}

/** Publishes by HTTP. @returns the time to the answer, in µs */
function post(sessionId: string, n: number): Promise<number> {
  const isNchan = where.server === 'nchan'
  // The same envelope as our events have.
  const body = JSON.stringify(
    isNchan
      ? { offset: `${n}`, sessionId, time: Date.now(), ...note(n) }
      : { id: String(n), type: 'publish', event: note(n) },
  )
  const began = micros()
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        agent: connections,
        port: where.port,
        host: '127.0.0.1',
        method: 'POST',
        path: isNchan ? nchanPaths(sessionId).publish : `/v1/sessions/${sessionId}/commands`,
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      },
      response => {
        if (![200, 201, 202].includes(response.statusCode ?? 0))
          reject(new Error(`a POST was answered ${response.statusCode}`))
        response.resume().once('end', () => resolve(micros() - began))
      },
    )
    sent.once('error', reject).end(body)
  })
}

serveWorker(handlers)
