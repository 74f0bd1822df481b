/** A TCP proxy that treats each connection badly in its own way, as a seed decides. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'
import { between } from '../../src/log/contract/random.ts'

/** What one direction of one connection suffers; each lasts for so many bytes. */
type Mishap = 'none' | 'cut' | 'stall' | 'freeze' | 'split' | 'delay' | 'buffer'

export interface ChaosProxy {
  url: string
  /** How often each mishap happened. */
  counts: Record<Mishap, number>
  /** From now on everything passes unharmed. */
  calm(): void
}

export async function chaosProxy(t: Test, target: string, next: () => number): Promise<ChaosProxy> {
  const { hostname, port } = new URL(target)
  const counts: ChaosProxy['counts'] = { none: 0, cut: 0, stall: 0, freeze: 0, split: 0, delay: 0, buffer: 0 }
  const sockets = new Set<Socket>()
  let calm = false

  /** Frozen lines are few: each costs its client a watchdog's patience. */
  const mishap = (): Mishap => {
    if (calm) return 'none'
    const dice = next()
    if (dice < 0.02) return 'freeze'
    const rest = ['none', 'cut', 'cut', 'stall', 'split', 'delay', 'buffer'] as const
    return rest[between(next, 0, rest.length - 1)]!
  }

  async function pump(from: Socket, to: Socket): Promise<void> {
    let fate = mishap()
    let left = between(next, 1, 60_000)
    counts[fate] += 1
    let held: Buffer[] = []
    for await (const chunk of from as AsyncIterable<Buffer>) {
      left -= chunk.length
      if (fate === 'cut' && left <= 0) {
        to.write(chunk.subarray(0, Math.max(0, chunk.length + left)))
        from.destroy()
        to.destroy()
        return
      }
      if (fate === 'freeze' && left <= 0) await new Promise(() => {})
      if (fate === 'stall' && left <= 0) await pause(between(next, 20, 300))
      if (fate === 'delay') await pause(between(next, 1, 10))
      held.push(chunk)
      if (fate === 'buffer' && left > 0 && held.length < 4) continue
      const bytes = Buffer.concat(held)
      held = []
      if (fate === 'split') {
        const single = Math.min(bytes.length, 400)
        for (let i = 0; i < single; i += 1) {
          to.write(bytes.subarray(i, i + 1))
          if (i % 20 === 0) await new Promise(setImmediate)
        }
        to.write(bytes.subarray(single))
      } else if (!to.write(bytes)) {
        await Promise.race([once(to, 'drain'), once(to, 'close')])
      }
      if (left <= 0) {
        fate = mishap()
        left = between(next, 1, 200_000)
        counts[fate] += 1
      }
    }
    to.end(Buffer.concat(held))
  }

  const server = createServer(near => {
    const far = connect(Number(port), hostname)
    for (const socket of [near, far]) {
      socket.setNoDelay(true)
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        near.destroy()
        far.destroy()
      })
    }
    pump(near, far).catch(() => {}) // a cut line ends its pumps
    pump(far, near).catch(() => {})
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    counts,
    calm() {
      calm = true
    },
  }
}

const pause = (ms: number) => new Promise<void>(resolve => setTimeout(resolve, ms))
const once = (socket: Socket, name: string) =>
  new Promise<void>(resolve => socket.once(name, () => resolve()))
