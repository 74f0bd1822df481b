/** Watches a WebSocket that is subscribed to a session. */
import { WebSocket } from 'ws'
import { endpoint } from '../../../client/index.ts'
import { ANSWER_MS, bodyOf, reasonOf, refusalOf } from './http.ts'
import { Sighting } from './sighting.ts'
import { now } from './time.ts'

/** Bytes of one message. */
const MESSAGE_BYTES = 256 * 1024

/** Round trips that are measured. */
const ROUND_TRIPS = 5

export class SocketSighting extends Sighting {
  readonly roundTripsMs: number[] = []
  /** Whether permessage-deflate was agreed on. */
  deflated = false
  closeCode: number | undefined
}

/** Opens a WebSocket, subscribes, measures round trips and watches until it closes or `signal` aborts. */
export function watchWebSocket(
  url: string,
  sessionId: string,
  headers: Record<string, string>,
  signal: AbortSignal,
): SocketSighting {
  const sighting = new SocketSighting()
  const address = endpoint(url, 'ws')
  address.protocol = address.protocol.replace('http', 'ws')
  const socket = new WebSocket(address, ['twinrail.v1'], {
    headers,
    handshakeTimeout: ANSWER_MS,
    maxPayload: MESSAGE_BYTES,
  })
  const leave = () => socket.terminate()
  signal.addEventListener('abort', leave)
  const send = (command: object) => socket.send(JSON.stringify(command))
  const ping = () => send({ type: 'ping', time: now() })

  socket.on('upgrade', response => {
    sighting.opened = true
    sighting.headers = response.headers
    sighting.deflated = /permessage-deflate/i.test(response.headers['sec-websocket-extensions'] ?? '')
    // Not before ws listens itself: the bytes that came with the head would go to this listener only.
    socket.once('open', () => {
      response.socket.on('data', () => {
        sighting.lastByteAt = now()
      })
    })
  })
  socket.on('unexpected-response', (request, response) => {
    bodyOf(response)
      .catch(() => '') // the status says enough
      .then(text => {
        sighting.headers = response.headers
        sighting.refusal = refusalOf({ status: response.statusCode ?? 0, headers: response.headers, text })
        sighting.over()
        request.destroy()
      })
  })
  socket.on('message', data => {
    const arrivedAt = now()
    try {
      for (const json of String(data).split('\n')) {
        const message = sighting.take(json, arrivedAt)
        if (message.type === 'hello') {
          send({ id: '1', type: 'subscribe', sessionId })
          ping()
        } else if (message.type === 'pong') {
          sighting.roundTripsMs.push(arrivedAt - message.time!)
          if (sighting.roundTripsMs.length < ROUND_TRIPS) ping()
        }
      }
    } catch (error) {
      sighting.failure = (error as Error).message
      socket.terminate()
    }
  })
  socket.on('error', error => {
    if (!sighting.helloAt && !signal.aborted) sighting.failure ??= reasonOf(error)
  })
  socket.on('close', code => {
    signal.removeEventListener('abort', leave)
    sighting.closeCode = code
    if (signal.aborted) sighting.over()
    else sighting.close()
  })
  return sighting
}
