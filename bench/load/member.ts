/** A member of a room: one WebSocket that sends commands, gets their acks and checks the events that it is sent. */
import { WebSocket } from 'ws'
import { micros } from '../clock.ts'
import { nchanPaths } from '../peers/nchan.ts'

/** An event as all compared servers send it. */
export interface RoomEvent {
  readonly type: string
  readonly runId?: string
  readonly data: Readonly<Record<string, unknown>>
}

interface Ack {
  readonly runId?: string
}

/** A command with the fields that our protocol gives it; the other servers know `subscribe` and `publish`. */
export interface RoomCommand {
  readonly type: string
  readonly sessionId: string
  readonly [field: string]: unknown
}

export abstract class Member {
  protected readonly socket: WebSocket
  /** Times from a command to its ack, in µs. */
  readonly delaysUs: number[] = []
  onEvent: (event: RoomEvent) => void = () => {}
  readonly #acks = new Map<string, { since: number; done(ack: Ack): void; failed(error: Error): void }>()
  #ids = 0

  protected constructor(url: string, protocol?: string) {
    this.socket = new WebSocket(url, protocol, { perMessageDeflate: false })
    this.socket.on('message', data => this.read(String(data)))
    this.socket.on('close', () => {
      for (const { failed } of this.#acks.values()) failed(new Error('the server closed a connection'))
    })
  }

  abstract ready(): Promise<void>
  protected abstract read(text: string): void
  protected abstract write(id: string, command: RoomCommand): void

  /** Resolves with the ack. */
  send(command: RoomCommand): Promise<Ack> {
    const id = String(++this.#ids)
    return new Promise((done, failed) => {
      this.#acks.set(id, { since: micros(), done, failed })
      this.write(id, command)
    })
  }

  close(): void {
    this.#acks.clear()
    this.socket.terminate()
  }

  protected opened(): Promise<void> {
    return new Promise((resolve, reject) => this.socket.once('open', resolve).once('error', reject))
  }

  protected acked(id: string, ack: Ack): void {
    const waiting = this.#acks.get(id)
    this.#acks.delete(id)
    if (!waiting) return
    this.delaysUs.push(micros() - waiting.since)
    waiting.done(ack)
  }

  protected refused(id: string, why: string): void {
    this.#acks.get(id)?.failed(new Error(`refused: ${why}`))
    this.#acks.delete(id)
  }
}

/** Our protocol, which the bare ws server speaks as far as it goes. */
class JsonMember extends Member {
  constructor(port: number, path: string) {
    super(`ws://127.0.0.1:${port}${path}`)
  }

  ready(): Promise<void> {
    return this.opened()
  }

  protected write(id: string, command: RoomCommand): void {
    this.socket.send(JSON.stringify({ id, ...command }))
  }

  protected read(text: string): void {
    for (const line of text.split('\n')) {
      const message = JSON.parse(line)
      if (message.type === 'ack') this.acked(message.id, message)
      else if (message.type === 'nack') this.refused(message.id, line)
      else if (message.type.includes('.')) this.onEvent(message)
    }
  }
}

/** Engine.IO 4 and Socket.IO 5 on one WebSocket, as far as the measurement needs them. */
class SocketIoMember extends Member {
  #connected: () => void = () => {}
  readonly #connects = new Promise<void>(resolve => {
    this.#connected = resolve
  })

  constructor(port: number) {
    super(`ws://127.0.0.1:${port}/socket.io/?EIO=4&transport=websocket`)
  }

  async ready(): Promise<void> {
    await this.opened()
    this.socket.send('40')
    await this.#connects
  }

  protected write(id: string, { type, ...fields }: RoomCommand): void {
    this.socket.send(`42${id}${JSON.stringify([type, fields])}`)
  }

  protected read(text: string): void {
    if (text.startsWith('42')) this.onEvent(JSON.parse(text.slice(2))[1])
    else if (text.startsWith('43')) {
      const begin = text.indexOf('[')
      this.acked(text.slice(2, begin), JSON.parse(text.slice(begin))[0])
    } else if (text.startsWith('40')) this.#connected()
  }
}

/** Follows a channel of Nchan; events are published by POST. */
class NchanMember extends Member {
  constructor(port: number, channel: string) {
    super(`ws://127.0.0.1:${port}${nchanPaths(channel).follow}`)
  }

  ready(): Promise<void> {
    return this.opened()
  }

  /** Asks for a sign that the subscription stands. */
  protected write(id: string): void {
    this.#asked = id
    this.socket.send('here')
  }

  #asked = ''

  protected read(text: string): void {
    if (text === 'there') this.acked(this.#asked, {})
    else this.onEvent(JSON.parse(text))
  }
}

/** Connects a member. @param server which server it is, as `commandServers` names it @param sessionId what it will follow */
export async function connectMember(server: string, port: number, sessionId: string): Promise<Member> {
  if (server === 'nchan') {
    const member = new NchanMember(port, sessionId)
    await member.ready()
    return member
  }
  const member = server.startsWith('socket.io')
    ? new SocketIoMember(port)
    : new JsonMember(port, server === 'ws' ? '/' : '/v1/ws')
  await member.ready()
  return member
}
