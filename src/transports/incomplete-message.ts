/** What ws keeps of a message whose rest has not arrived. It is in fields that ws does not document. */
import type { WebSocket } from 'ws'

interface Receiver {
  _buffers: Buffer[]
  _bufferedBytes: number
  _fragments: Buffer[]
  _messageLength: number
}

const receiverOf = (socket: WebSocket) => (socket as { _receiver?: Receiver })._receiver

/** Memory of a piece besides its bytes. */
const PIECE_BYTES = 256

/** Memory for the message: ws joins the pieces of a complete one in a buffer of the same size. */
export function incompleteBytes(socket: WebSocket): number {
  const receiver = receiverOf(socket)
  if (!receiver) return 0
  const { _buffers, _bufferedBytes, _fragments, _messageLength } = receiver
  return 2 * (_bufferedBytes + _messageLength) + (_buffers.length + _fragments.length) * PIECE_BYTES
}

/**
 * Drops the message, on a connection that was destroyed. Its pieces have waited for so long that only a full collection of
 * V8 would free them, and others fill as much memory again while that runs. Moved to new buffers, they are freed by the
 * next quick collection.
 */
export function dropIncomplete(socket: WebSocket): void {
  const receiver = receiverOf(socket)
  // A thread may be inflating a part of the same buffer, which must stay where it is.
  if (!receiver || socket.extensions !== '') return
  for (const buffer of new Set([...receiver._buffers, ...receiver._fragments].map(piece => piece.buffer))) {
    try {
      structuredClone(buffer, { transfer: [buffer as ArrayBuffer] })
    } catch {
      // A small piece is a part of Node's pool, which must stay. Node 20 copies the pool instead.
    }
  }
  Object.assign(receiver, { _buffers: [], _bufferedBytes: 0, _fragments: [], _messageLength: 0 })
}
