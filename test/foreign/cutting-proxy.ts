/** A proxy that cuts each connection within an event's frame, one byte later each time. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'

export interface Cutting {
  /** What an event's frame begins with, up to the number in its offset, which the group holds. */
  readonly frame: RegExp
  /** Where to cut, one connection after the other: after so many bytes of a frame with an even or an odd number. */
  readonly cuts: readonly { readonly parity: 0 | 1; readonly after: number }[]
  /** Whole frames that pass on each connection before one is cut, so that the client gets on. */
  readonly pass: number
}

export interface CuttingProxy {
  readonly url: string
  /** How many connections were cut. Once all cuts are made everything passes. */
  readonly made: () => number
}

/** Other names of the same length, so that the server sends events that can be read. */
function withoutCompression(head: string): string {
  return head
    .replace(/^accept-encoding:/im, 'x-cept-encoding:')
    .replace(/^sec-websocket-extensions:/im, 'x-c-websocket-extensions:')
}

export async function cuttingProxy(t: Test, target: string, cutting: Cutting): Promise<CuttingProxy> {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  let made = 0

  function forward(near: Socket, far: Socket): void {
    let head = ''
    near.on('data', bytes => {
      if (head === 'sent') return void far.write(bytes)
      head += bytes.toString('latin1')
      if (!head.includes('\r\n\r\n')) return
      far.write(withoutCompression(head), 'latin1')
      head = 'sent'
    })
  }

  /** Passes the answer on up to where this connection is cut. */
  function backward(near: Socket, far: Socket): void {
    const frames = new RegExp(cutting.frame, 'g')
    // Latin-1 has one character per byte.
    let text = ''
    let sent = 0
    let passed = 0
    let end = Infinity
    far.on('data', bytes => {
      const cut = cutting.cuts[made]
      text += bytes.toString('latin1')
      while (cut && end === Infinity) {
        const { lastIndex } = frames
        const found = frames.exec(text)
        if (!found) frames.lastIndex = lastIndex
        if (!found) break
        if (++passed > cutting.pass && Number(found[1]) % 2 === cut.parity) end = found.index + cut.after
      }
      if (end > sent) near.write(text.slice(sent, end), 'latin1')
      sent = text.length
      if (sent < end) return
      made++
      far.destroy()
      near.end()
    })
  }

  const server = createServer(near => {
    const far = connect(Number(port), hostname)
    for (const socket of [near, far]) {
      socket.setNoDelay(true)
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    }
    near.on('close', () => far.destroy())
    far.on('end', () => near.end())
    forward(near, far)
    backward(near, far)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    made: () => made,
  }
}
