/** The part of `log` about several nodes on one Redis, each in a process of its own. */
import type { handlers as Subscribers } from '../load/subscriber-process.ts'
import { dialTwinrail, SESSION } from '../peers/dial-twinrail.ts'
import type { Check, Table } from '../report.ts'
import type { handlers as Server } from '../server/log.ts'
import { spread } from '../stats.ts'
import { startWorker } from '../worker.ts'
import { arrived, type LogSizes } from './log-write.ts'

const COUNTS = [1, 2, 3] as const
const PER_CALL = 10

/** Results of one number of nodes, one value per round. */
interface Found {
  readonly rates: number[]
  readonly p50s: number[]
  readonly p99s: number[]
  complete: boolean
}

/**
 * Lets one, two and three nodes write at once, each to its own session, and delivers what the first node appends at a pace to
 * a subscriber of the last node.
 */
export async function compareNodes(
  redis: string,
  { events, inFlight, paced, perSecond }: LogSizes,
  rounds: number,
  show: (part: number) => void,
): Promise<{ tables: Table[]; checks: Check[] }> {
  const nodes = COUNTS.map(() => startWorker<typeof Server>('server/log'))
  const load = startWorker<typeof Subscribers>('load/subscriber-process')
  const found = new Map(
    COUNTS.map(count => [count, { rates: [], p50s: [], p99s: [], complete: true } as Found]),
  )
  try {
    const ports = await Promise.all(
      nodes.map(async node => (await node.call.open(['redis'], redis)).redis as number),
    )
    await load.call.open(
      ports.map(port => dialTwinrail('sse', port, { replay: 'none' })),
      1,
    )
    for (const index of ports.keys()) await load.call.grow(index, 1)
    for (let round = 0; round < rounds; round++) {
      for (const count of COUNTS) {
        const { rates, p50s, p99s } = found.get(count) as Found
        const sessionOf = (index: number) => `node-${count}-${index}`
        const writing = nodes.slice(0, count)
        const filled = await Promise.all(
          writing.map((node, index) =>
            node.call.fill('redis', { sessionId: sessionOf(index), events, perCall: PER_CALL, inFlight }),
          ),
        )
        rates.push((events * count) / Math.max(...filled.map(({ seconds }) => seconds)))
        for (const [index, node] of writing.entries()) await node.call.forget('redis', sessionOf(index))

        await load.call.expect({ perTurn: 1, turns: paced })
        const [first] = nodes
        const { appended } = await first!.call.pace('redis', { sessionId: SESSION, events: paced, perSecond })
        const seen = await arrived(load, paced)
        if (!seen.every(Boolean)) (found.get(count) as Found).complete = false
        await load.call.recordDelays(ports.map((_, index) => (index === count - 1 ? appended : undefined)))
        const [p50, p99] = (await load.call.delays([50, 99]))[count - 1] as [number, number]
        await load.call.forgetDelays()
        p50s.push(p50)
        p99s.push(p99)
        show((round + count / COUNTS.length) / rounds)
      }
    }
    await Promise.all(nodes.map(node => node.call.close()))
  } finally {
    await Promise.all([load, ...nodes].map(worker => worker.stop()))
  }
  return {
    tables: [
      {
        title: `Nodes on one Redis: written by all at once, ${PER_CALL} a call; delivered from the first to the last, ms`,
        columns: ['nodes', 'events a second', 'quartiles', 'delivered p50', 'p99'],
        rows: COUNTS.map(count => {
          const { rates, p50s, p99s } = found.get(count) as Found
          const rate = spread(rates)
          const quartiles = `${rate.low.toFixed(0)}–${rate.high.toFixed(0)}`
          return [String(count), rate.median, quartiles, spread(p50s).median, spread(p99s).median]
        }),
      },
    ],
    checks: COUNTS.map(count => ({
      what: `${count} nodes: subscribers of all nodes got every event once, in order`,
      holds: found.get(count)?.complete === true,
    })),
  }
}
