/** What one more connection costs while nothing happens. */
import type { handlers as Load } from './load/crowds.ts'
import type { PeerName } from './peers/index.ts'
import type { handlers as Server } from './server/side-by-side.ts'
import { slope } from './stats.ts'
import { startWorker } from './worker.ts'

/** How long connections rest before memory is read, in ms: greetings are out, timers are gone. */
const REST_MS = 1500

/**
 * Bytes of resident memory per connection: the slope over several counts, each after everything that can be freed was
 * freed. The first count is not from zero, so that what comes once per process is not booked on connections.
 */
export async function idleMemory(variant: PeerName, counts: readonly number[]): Promise<number> {
  const server = startWorker<typeof Server>('server/side-by-side', ['--expose-gc'])
  const load = startWorker<typeof Load>('load/crowds')
  try {
    const { dials } = await server.call.open([variant])
    await load.call.open(dials, Number.MAX_SAFE_INTEGER)
    const points: { x: number; y: number }[] = []
    for (const count of counts) {
      await load.call.grow(0, count)
      await new Promise(resolve => setTimeout(resolve, REST_MS))
      points.push({ x: count, y: await server.call.resident() })
    }
    return slope(points)
  } finally {
    await Promise.all([load.stop(), server.stop()])
  }
}
