/** Runs a client in a process of its own with forced garbage collection, and reports what it still holds. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { WebSocket } from 'ws'
import { createClient } from '../../client/index.ts'

export interface MemoryReport {
  /** Growth of the heap over `count` repetitions, in bytes. */
  growth: { name: string; count: number; bytes: number }[]
  warnings: string[]
}

const growth: MemoryReport['growth'] = []
const warnings: string[] = []
process.on('warning', warning => warnings.push(String(warning)))

/** Both ends of each connection through the proxy. */
const sockets = new Set<Socket>()

/** A TCP proxy whose connections break when `sockets` are destroyed. */
async function breakable(target: string): Promise<string> {
  const { hostname, port } = new URL(target)
  const proxy = createServer(near => {
    const far = connect(Number(port), hostname)
    near.pipe(far).pipe(near)
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        near.destroy()
        far.destroy()
      })
    }
  })
  await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
}

/** The heap in bytes. Finalizers run in event-loop turns between the collections. */
async function heldBytes(): Promise<number> {
  for (let round = 0; round < 4; round += 1) {
    globalThis.gc!()
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  return process.memoryUsage().heapUsed
}

/** Measures `work(count)` after a smaller round that fills caches and pools. */
async function measure(name: string, count: number, work: (count: number) => Promise<void>): Promise<void> {
  await work(Math.ceil(count / 4))
  const before = await heldBytes()
  await work(count)
  growth.push({ name, count, bytes: (await heldBytes()) - before })
}

/** Calls `work` `count` times, up to 50 at once: more than the listeners that Node allows a signal without a warning. */
const times = (work: () => Promise<unknown>) => async (count: number) => {
  let left = count
  const loop = async () => {
    while (left-- > 0) await work()
  }
  await Promise.all(Array.from({ length: 50 }, loop))
}

const url = await breakable(process.argv[2]!)
const client = createClient({
  url,
  WebSocket,
  transport: 'sse',
  backoff: { baseMs: 0 },
  // A fetch that wraps the global one and listens for aborts, as those of tracing libraries do.
  fetch(input, init) {
    init?.signal?.addEventListener('abort', () => {})
    return fetch(input, init)
  },
})
const session = client.session('memory', { 'x.tick': { parse: (value: unknown) => value } })
const followed = client.session('followed')
await session.create()
await followed.create()
const publish = times(() => session.publish('x.tick', 1))

/** Follows a session and breaks the connection each time that it has caught up: one half by SSE, one by WebSocket. */
async function reconnect(count: number): Promise<void> {
  for (const transport of ['sse', 'websocket'] as const) {
    client.switchTransport(transport)
    let left = count / 2
    for await (const event of followed.events()) {
      if (event.type !== 'caught-up') continue
      if (left-- <= 0) break
      for (const socket of sockets) socket.destroy()
    }
  }
}

await measure('commands by POST', 1000, publish)
await measure('reconnects', 500, reconnect)
const events = followed.events()
while ((await events.next()).value?.type !== 'caught-up');
await measure('commands over a WebSocket', 14_000, publish)
await events.return()
await times(() => followed.state())(2000)

process.send!({ growth, warnings } satisfies MemoryReport, () => process.exit())
