/** The floor: bare sockets that get the same bytes, made once. Its cost is that of Node and the kernel alone. */
import { createHash } from 'node:crypto'
import { createServer, type Socket } from 'node:net'
import { type Dial, Envelope, type EventText, listen, type Peer, sseText } from './peer.ts'

const READY = 'floor is ready'

/** Bodies as one HTTP/1.1 chunk. */
export function chunk(body: Buffer | string): Buffer {
  const bytes = Buffer.from(body as string)
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')])
}

/** A final, unmasked frame of text; `compressed` sets the bit of permessage-deflate. */
export function frame(payload: Buffer | string, compressed = false): Buffer {
  const bytes = Buffer.from(payload as string)
  const head = Buffer.alloc(bytes.length < 126 ? 2 : 4)
  head[0] = compressed ? 0xc1 : 0x81
  if (bytes.length < 126) head[1] = bytes.length
  else {
    head[1] = 126
    head.writeUInt16BE(bytes.length, 2)
  }
  return Buffer.concat([head, bytes])
}

/** How the events of a turn become the bytes of a transport. */
interface Wire {
  readonly dial: Omit<Dial, 'port'>
  head(request: string): string
  ready: Buffer
  batch(events: readonly EventText[]): Buffer
}

const accept = (request: string) =>
  createHash('sha1')
    .update(`${/sec-websocket-key: (\S+)/i.exec(request)?.[1]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64')

const sseHead = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n'
const upgradeHead = 'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n'

const sse: Wire = {
  dial: { wire: 'sse', path: '/', readyAfter: READY },
  head: () => `${sseHead}\r\n`,
  ready: chunk(`:${READY}\n\n`),
  batch: events => chunk(sseText(events)),
}

const websocket: Wire = {
  dial: { wire: 'websocket', path: '/', readyAfter: READY },
  head: request => `${upgradeHead}sec-websocket-accept: ${accept(request)}\r\n\r\n`,
  ready: frame(READY),
  batch: events => frame(events.map(({ json }) => json).join('\n')),
}

async function floor({ dial, head, ready, batch }: Wire): Promise<Peer> {
  const envelope = new Envelope('bench')
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    socket.setNoDelay(true)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => sockets.delete(socket))
    socket.once('data', request => {
      socket.write(head(request.toString('latin1')))
      socket.write(ready)
      sockets.add(socket)
    })
  })
  const port = await listen(server)
  return {
    dial: { ...dial, port },
    publish(bodies) {
      const bytes = batch(envelope.texts(bodies))
      for (const socket of sockets) socket.write(bytes)
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

export const floorSse = () => floor(sse)
export const floorWebSocket = () => floor(websocket)
