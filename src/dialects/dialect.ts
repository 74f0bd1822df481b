/** What a dialect is made of. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'
import type { TwinrailEvent } from '../protocol/index.ts'

/** What the routes of a dialect get from the server beside the context of transports. */
export interface DialectParts {
  /** Frees what an upgraded socket would hold for as long as it lives. */
  releaseUpgrade(socket: WebSocket, request: FastifyRequest): void
  /** The error that a request is answered with: the refusal, where it failed before it was authorized and is not allowed. */
  authorizedFirst(error: unknown, request: FastifyRequest): Promise<unknown>
  /** Reads bodies of this media type as JSON, too. */
  acceptJsonAs(app: FastifyInstance, type: string): void
}

/** One frame of an event stream. */
export interface Frame {
  /** The offset that a client may resume after. */
  id?: string
  event?: string
  data?: string
  comment?: string
}

/**
 * Turns the events of one run into the frames of a foreign stream. It is a fold: what it makes of an event depends on
 * the events before it and on nothing else, so a new encoder that was given the same events goes on at any offset.
 */
export interface StreamEncoder {
  /** The frames of the next event. */
  event(event: TwinrailEvent): Frame[]
  /** Takes an event that the client has already: changes the state and makes no frames. */
  skip(event: TwinrailEvent): void
  /** Whether the run waits for an answer that this client gives with its next request. */
  readonly isWaiting: boolean
  /** The last frames of a response that ends since the run waits. */
  suspend(): Frame[]
  /** The last frames when the server ends the stream before the run has ended; `cut`: the connection is cut off. */
  farewell(code: string, message: string): readonly Frame[] | 'cut'
}
