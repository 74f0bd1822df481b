/** What one more connection of a variant costs while nothing happens. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Memory, Variant } from '../guide/findings.ts'
import type { handlers as Clients } from '../load/clients.ts'
import type { handlers as Server } from '../server/stage.ts'
import { slope } from '../stats.ts'
import { startWorker } from '../worker.ts'
import type { Certificate } from './certificate.ts'
import { serverOf } from './stages.ts'

/** How long connections rest before memory is read, ms: greetings are out, timers are gone. */
const REST_MS = { full: 900, quick: 650 }

const counts = {
  full: [1000, 2000, 3000, 4000, 5000],
  quick: [500, 750, 1000, 1250, 1500],
}

/**
 * The slope of resident memory over several counts of connections to one idle session, each after everything that can
 * be freed was freed, in processes of its own. The first count is a thousand: below it memory grows in steps, which
 * would be booked on connections.
 */
export async function idleMemory(
  variant: Variant,
  certificate: Certificate,
  quick: boolean,
): Promise<Memory> {
  const server = startWorker<typeof Server>('server/stage', ['--expose-gc'])
  const load = startWorker<typeof Clients>('load/clients')
  try {
    const { port, orders } = await server.call.open(serverOf(variant, certificate))
    const dials = await server.call.begin('idle', 0, 'idle')
    await load.call.begin({ workload: 'idle', seed: 0, prefix: 'idle', orders })
    const { rail, http, tls, compressed } = variant
    const target = { rail, http, tls, compressed, rechunked: false, port, ...(dials && { dials }) }
    const points: { connections: number; bytes: number }[] = []
    const size = quick ? 'quick' : 'full'
    for (const connections of counts[size]) {
      await load.call.grow(target, connections)
      await sleep(REST_MS[size])
      points.push({ connections, bytes: (await server.call.memory()).resident })
    }
    const bytes = slope(points.map(({ connections: x, bytes: y }) => ({ x, y })))
    return { variant: variant.name, points, kibPerConnection: bytes / 1024 }
  } finally {
    await Promise.all([load.stop(), server.stop()])
  }
}
