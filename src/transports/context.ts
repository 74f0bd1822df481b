/** What every transport works with, and what they have in common. */
import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Action, type Authorize, mustBeAllowed } from '../auth/authorize.ts'
import type { Bus } from '../bus/bus.ts'
import type { Journal } from '../bus/journal.ts'
import type { LagLimits } from '../bus/lag.ts'
import type { Answers } from '../http/answers.ts'
import type { ConnectionLimits } from '../http/limits.ts'
import type { Presence } from '../presence/presence.ts'
import { type ControlOf, limits, type SubscriptionOptions, TwinrailError } from '../protocol/index.ts'
import type { Principal } from '../sessions/principal.ts'
import type { Sessions } from '../sessions/sessions.ts'
import type { Connections, TransportName } from './connections.ts'
import type { Heartbeats } from './heartbeat.ts'

/** Why the server gives a connection up: it lags too far, takes no bytes, or shows no sign of life. */
export type LossReason = 'too-slow' | 'stalled' | 'silent'

export interface TransportContext {
  readonly journal: Journal
  readonly bus: Bus
  readonly presence: Presence
  readonly sessions: Sessions
  readonly authorize: Authorize
  readonly heartbeats: Heartbeats
  readonly connections: Connections
  readonly answers: Answers
  readonly limits: ConnectionLimits
  /** Silence after which a connection is pinged unless the client asks otherwise, in ms. */
  readonly heartbeatMs: number
  /** A write that waits longer ends its connection, in ms. */
  readonly stallMs: number
  /** Whether clients that ask for it get their streams compressed. */
  readonly compression: boolean
  /** Tells whoever measures that a connection was given up. */
  onLost(transport: TransportName, reason: LossReason): void
  /** Tells whoever measures that a ping was left without a sign of life. */
  onMissedHeartbeat(): void
  /** What an `EventSource` waits before it reconnects, in ms, on average. */
  readonly retryMs: number
}

/**
 * The `retry` of one event stream: from half to one and a half times `retryMs`, a random time for each connection, so
 * that the clients of a server that crashed do not all come back at the same moment.
 */
export function retryOf({ retryMs }: Pick<TransportContext, 'retryMs'>): number {
  return Math.round(retryMs * (0.5 + Math.random()))
}

/** Asks the door. @throws TwinrailError */
export function allow(
  context: TransportContext,
  request: FastifyRequest,
  action: Action,
  sessionId?: string,
): Promise<Principal> {
  return mustBeAllowed(context.authorize, request, action, sessionId)
}

/** Asks the door for a subscription, and for the right to slow producers down where that is wanted. */
export async function allowSubscription(
  context: TransportContext,
  request: FastifyRequest,
  sessionId: string,
  { lag }: Pick<SubscriptionOptions, 'lag'>,
): Promise<void> {
  await allow(context, request, 'subscribe', sessionId)
  if (lag === 'wait') {
    await allow(context, request, 'subscribe:wait', sessionId)
  }
}

/**
 * What emits `close` when the client has left, and says whether it has: the response, but for a pipelined one that
 * waits for its turn and is never told.
 */
export function connectionOf({ raw, request }: FastifyReply): FastifyReply['raw'] | Socket {
  return raw.socket ? raw : request.raw.socket
}

/** The greeting of every connection. */
export function hello(heartbeatMs: number): ControlOf<'hello'> {
  return {
    type: 'hello',
    protocol: 1,
    connectionId: randomUUID(),
    serverTime: Date.now(),
    heartbeatMs,
    limits,
  }
}

export function ping(): ControlOf<'ping'> {
  return { type: 'ping', time: Date.now() }
}

/** When the ping that follows the greeting is sent, in ms: late enough to show whether something buffers. */
export const SECOND_MESSAGE_MS = 500

/** The farewell before the server closes a connection. */
export function closing({ code, message, retryAfterMs }: TwinrailError): ControlOf<'closing'> {
  return { type: 'closing', code, reason: message, ...(retryAfterMs !== undefined && { retryAfterMs }) }
}

/** The lag limits that a client asks for; the server's own are the bounds. */
export function lagLimits({ lagEvents, lagBytes }: SubscriptionOptions): Partial<LagLimits> {
  return {
    ...(lagEvents !== undefined && { events: lagEvents }),
    ...(lagBytes !== undefined && { bytes: lagBytes }),
  }
}

/** The end of a connection that fell too far behind. */
export function tooSlow(): TwinrailError {
  return new TwinrailError('too-slow', 'you fell too far behind; reconnect with your last offset')
}
