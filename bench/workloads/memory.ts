/** Memory of idle connections. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Memory, Variant } from '../guide/findings.ts'
import type { handlers as Clients } from '../load/client-process.ts'
import type { Target } from '../load/target.ts'
import type { handlers as Server, StageOptions } from '../server/stage.ts'
import { slope } from '../stats.ts'
import { startWorker } from '../worker.ts'
import { serverOf } from './stages.ts'

/** Rest before memory is read, ms: greetings are sent and timers have ended. */
const REST_MS = { full: 900, quick: 650 }

const counts = { full: [1000, 2000, 3000, 4000, 5000], quick: [500, 750, 1000, 1250, 1500] }

/**
 * Measures resident memory at several counts of connections to one idle session, each after garbage collection, in processes
 * of their own. The first count is not 0: below it memory grows in steps, which would count as connections.
 * @returns bytes by number of connections
 */
export async function idleMemory(
  options: StageOptions,
  target: Omit<Target, 'port'>,
  counts: readonly number[],
  restMs = REST_MS.full,
): Promise<Memory['points']> {
  await using server = startWorker<typeof Server>('server/stage', ['--expose-gc'])
  await using load = startWorker<typeof Clients>('load/client-process')
  const { port, orders } = await server.call.open(options)
  const dials = await server.call.begin('idle', 0, 'idle')
  await load.call.begin({ workload: 'idle', seed: 0, prefix: 'idle', orders })
  const points: { connections: number; bytes: number }[] = []
  for (const connections of counts) {
    await load.call.grow({ ...target, port, ...(dials && { dials }) }, connections)
    await sleep(restMs)
    points.push({ connections, bytes: (await server.call.memory()).resident })
  }
  return points
}

/** Bytes of one more connection: the slope over the counts. */
export const bytesPerConnection = (points: Memory['points']) =>
  slope(points.map(({ connections: x, bytes: y }) => ({ x, y })))

/** The memory of a variant's idle connections. */
export async function variantMemory(variant: Variant, quick: boolean): Promise<Memory> {
  const size = quick ? 'quick' : 'full'
  const { transport, http, tls, compressed } = variant
  const target = { transport, http, tls, compressed, rechunked: false }
  const points = await idleMemory(serverOf(variant), target, counts[size], REST_MS[size])
  return { variant: variant.name, points, kibPerConnection: bytesPerConnection(points) / 1024 }
}
