/** What the parts of a WebSocket connection know of it. */
import type { FastifyRequest } from 'fastify'
import type { TwinrailError } from '../protocol/index.ts'
import type { TransportContext } from './context.ts'
import type { SocketSink } from './socket-sink.ts'

export interface SocketPeer {
  readonly context: TransportContext
  /** The upgrade, with the connection's credentials. */
  readonly request: FastifyRequest
  readonly sink: SocketSink
  isOpen(): boolean
  /** Sends `closing` and closes the connection. */
  close(reason: TwinrailError): void
}
