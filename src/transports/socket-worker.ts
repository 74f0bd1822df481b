/** A WebSocket connection as a worker: it registers agents, is given runs and appends their events. PROTOCOL.md, "Workers". */
import type { Action } from '../auth/actions.ts'
import type { Hold } from '../auth/door.ts'
import { type ConnectionCommand, TwinrailError } from '../protocol/index.ts'
import type { ConnectedWorker } from '../sessions/workers/connected-worker.ts'
import { allow } from './context.ts'
import type { SocketPeer } from './socket-peer.ts'

type Of<T extends ConnectionCommand['type']> = Extract<ConnectionCommand, { type: T }>

export class SocketWorker {
  readonly #peer: SocketPeer
  /** Set once the client has said that it is a worker. */
  #worker: ConnectedWorker | undefined
  /** The right to execute runs of its agents. */
  #hold: Hold | undefined

  constructor(peer: SocketPeer) {
    this.#peer = peer
  }

  /**
   * The client may be given runs of these agents from now on. Sends the ack.
   * @throws TwinrailError the refusal
   */
  async register(command: Of<'worker'>, bytes: number): Promise<void> {
    const { context, request, sink, isOpen, close } = this.#peer
    const { door, connections, sessions } = context
    const { agents } = command
    if (!agents && !this.#worker) throw notRegistered()
    if (agents) {
      connections.mustBeOpen()
      const actions = ['work.register', ...agents.map(({ name }) => `work:${name}`)] as Action[]
      const hold = await door.enter(request, actions, undefined, [], close)
      this.#hold?.release()
      this.#hold = hold
      // The connection may have closed meanwhile.
      if (!isOpen()) return this.leave()
      door.take(request, hold.principal, bytes)
    }
    this.#worker ??= sessions.workers.connect({
      principal: (this.#hold as Hold).principal.id,
      send: control => sink.control(control),
      close,
      mayTake: (agent, sessionId) => door.mayDo(request, ['work.append', `work:${agent}`], sessionId),
    })
    await sessions.workers.update(this.#worker, command)
    sink.answer({ type: 'ack', id: command.id, renewMs: sessions.workers.renewMs })
  }

  /** Appends events of a run that the worker was given. Sends the ack. @throws TwinrailError the refusal */
  async append(command: Of<'work.append'>, bytes: number): Promise<void> {
    const { context, request, sink } = this.#peer
    const principal = await allow(context, request, 'work.append', command.sessionId)
    context.door.take(request, principal, bytes)
    if (!this.#worker) throw notRegistered()
    const ack = await context.sessions.workers.append(this.#worker, command)
    sink.answer({ type: 'ack', id: command.id, ...ack })
  }

  /** The connection is closed. */
  leave(): void {
    this.#hold?.release()
    if (this.#worker) this.#peer.context.sessions.workers.disconnect(this.#worker)
  }
}

function notRegistered(): TwinrailError {
  return new TwinrailError('bad-request', 'send the command worker with agents first', {
    details: { path: 'agents' },
  })
}
