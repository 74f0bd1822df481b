/** The context of every transport, and their common functions. */
import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Action } from '../auth/actions.ts'
import type { Door } from '../auth/door.ts'
import type { Bus } from '../bus/bus.ts'
import type { Journal } from '../bus/journal.ts'
import type { LagLimits } from '../bus/lag.ts'
import type { Answers } from '../http/answers.ts'
import type { Arriving } from '../http/arriving.ts'
import type { ConnectionLimits } from '../http/limits.ts'
import type { Members } from '../presence/members.ts'
import type { Presence } from '../presence/presence.ts'
import { type ControlOf, limits, type SubscriptionOptions, TwinrailError } from '../protocol/index.ts'
import type { Principal } from '../sessions/principal.ts'
import type { Sessions } from '../sessions/sessions.ts'
import type { Connections, TransportName } from './connections.ts'
import type { Heartbeats } from './heartbeat.ts'
import type { SharedPages } from './shared-pages.ts'

/** Why the server closes a connection: it lags too far, takes no bytes, or does not answer pings. */
export type LossReason = 'too-slow' | 'stalled' | 'silent' | 'incomplete'

export interface TransportContext {
  readonly journal: Journal
  readonly bus: Bus
  readonly presence: Presence
  readonly members: Members
  readonly sessions: Sessions
  readonly door: Door
  readonly heartbeats: Heartbeats
  readonly connections: Connections
  readonly answers: Answers
  /** Pages that requests have just read, for others that ask for the same. */
  readonly pages: SharedPages
  readonly arriving: Arriving
  readonly limits: ConnectionLimits
  /** Silence after which a connection is pinged, in ms; a client may choose another time. */
  readonly heartbeatMs: number
  /** Maximum time that a write may wait, in ms; then its connection is closed. */
  readonly stallMs: number
  /** Whether streams are compressed for clients that ask for it. */
  readonly compression: boolean
  /** Counts a connection that the server closed, for metrics. */
  onLost(transport: TransportName, reason: LossReason): void
  /** Counts a ping without an answer, for metrics. */
  onMissedHeartbeat(): void
  /** Mean time that an `EventSource` waits before it reconnects, in ms. */
  readonly retryMs: number
}

/**
 * The `retry` of one event stream: from half to one and a half times `retryMs`, a random time for each connection, so
 * that the clients of a crashed server do not all reconnect at the same moment.
 */
export function retryOf({ retryMs }: Pick<TransportContext, 'retryMs'>): number {
  return Math.round(retryMs * (0.5 + Math.random()))
}

/** Authorizes an action. @throws TwinrailError the refusal */
export function allow(
  context: TransportContext,
  request: FastifyRequest,
  action: Action,
  sessionId?: string,
): Promise<Principal> {
  return context.door.allow(request, action, sessionId)
}

/** The actions of a subscription: with `lag=wait` also the one that holds producers. */
export function subscribing({ lag }: Pick<SubscriptionOptions, 'lag'>): Action[] {
  return lag === 'wait' ? ['subscribe', 'subscribe:wait'] : ['subscribe']
}

/**
 * With `create`, creates a session that does not exist, if the principal may. To be called once the subscription itself is
 * authorized.
 * @throws TwinrailError the refusal
 */
export async function createIfWanted(
  context: TransportContext,
  request: FastifyRequest,
  sessionId: string,
  { create, after, run }: Pick<SubscriptionOptions, 'create' | 'after' | 'run'>,
): Promise<void> {
  // A cursor shows that the session existed: a reconnect must not create again what was deleted.
  if (!create || after !== undefined || run !== undefined) return
  if (await context.journal.findSession(sessionId)) return
  const { id } = await allow(context, request, 'session.create', sessionId)
  await context.sessions.create(sessionId, {}, id)
}

/** Authorizes a subscription. @throws TwinrailError the refusal */
export async function allowSubscription(
  context: TransportContext,
  request: FastifyRequest,
  sessionId: string,
  options: Pick<SubscriptionOptions, 'lag'>,
): Promise<void> {
  await context.door.allowEach(request, subscribing(options), sessionId)
}

/**
 * The emitter of `close` when the client has left. It is the response, except for a pipelined response: while that
 * waits for its turn, it is not notified, so the socket is used.
 */
export function connectionOf({ raw, request }: FastifyReply): FastifyReply['raw'] | Socket {
  return raw.socket ? raw : request.raw.socket
}

/** The id of a new connection. */
export const newConnectionId = (): string => randomUUID()

/** The `hello` of a connection of this principal. */
export function hello(connectionId: string, heartbeatMs: number, principal: Principal): ControlOf<'hello'> {
  return {
    type: 'hello',
    protocol: 1,
    connectionId,
    serverTime: Date.now(),
    heartbeatMs,
    limits,
    ...expiryOf(principal),
  }
}

/** When the client's credentials expire, if they do: it renews them before. */
export function expiryOf({ expiresAt }: Principal): { expiresAt?: number } {
  return expiresAt !== undefined && Number.isFinite(expiresAt) ? { expiresAt } : {}
}

export function ping(): ControlOf<'ping'> {
  return { type: 'ping', time: Date.now() }
}

/** Time from `hello` to the first ping, in ms. It is long enough for a client to detect a buffering proxy. */
export const SECOND_MESSAGE_MS = 500

/** The `closing` message before the server closes a connection. */
export function closing({ code, message, retryAfterMs }: TwinrailError): ControlOf<'closing'> {
  return { type: 'closing', code, reason: message, ...(retryAfterMs !== undefined && { retryAfterMs }) }
}

/** The lag limits of a client's request. The server's own limits are their maximum. */
export function lagLimits({ lagEvents, lagBytes }: SubscriptionOptions): Partial<LagLimits> {
  return {
    ...(lagEvents !== undefined && { events: lagEvents }),
    ...(lagBytes !== undefined && { bytes: lagBytes }),
  }
}

/** The reason for closing a connection that fell too far behind. */
export function tooSlow(): TwinrailError {
  return new TwinrailError('too-slow', 'you fell too far behind; reconnect with your last offset')
}
