/** The part of `log` about several nodes on one Redis, each in a process of its own. */
import type { handlers as Subscribers } from '../load/subscriber-process.ts'
import { dialTwinrail, SESSION } from '../peers/dial-twinrail.ts'
import { type Check, quartiles, type Table } from '../report.ts'
import type { handlers as Server } from '../server/log.ts'
import { spread } from '../stats.ts'
import { startWorker } from '../worker.ts'
import { timeDelivery } from './delivery.ts'
import type { LogSizes } from './log-write.ts'

const COUNTS = [1, 2, 3] as const
const PER_CALL = 10

/**
 * Lets one, two and three nodes write at once, each to its own session, and delivers what the first node appends at a pace to
 * a subscriber of the last node.
 */
export async function compareNodes(
  redis: string,
  { events, inFlight, paced, perSecond }: LogSizes,
  rounds: number,
  show: (part: number) => void,
): Promise<{ table: Table; checks: Check[] }> {
  const nodes = COUNTS.map(() => startWorker<typeof Server>('server/log'))
  await using load = startWorker<typeof Subscribers>('load/subscriber-process')
  // One value per round.
  const found = COUNTS.map(count => ({
    count,
    rates: [] as number[],
    p50s: [] as number[],
    p99s: [] as number[],
    complete: true,
  }))
  try {
    const opened = await Promise.all(nodes.map(node => node.call.open(['redis'], redis)))
    const dials = opened.map(({ redis: port }) => dialTwinrail('sse', port as number, { replay: 'none' }))
    await load.call.open(dials, 1, 1)
    for (let round = 0; round < rounds; round++) {
      for (const one of found) {
        const { count } = one
        const sessionOf = (index: number) => `node-${count}-${index}`
        const writing = nodes.slice(0, count)
        const filled = await Promise.all(
          writing.map((node, index) =>
            node.call.fill('redis', { sessionId: sessionOf(index), events, perCall: PER_CALL, inFlight }),
          ),
        )
        one.rates.push((events * count) / Math.max(...filled.map(({ seconds }) => seconds)))
        for (const [index, node] of writing.entries()) await node.call.forget('redis', sessionOf(index))

        const deliveries = await timeDelivery(load, { perTurn: 1, turns: paced }, async () => {
          const pacing = { sessionId: SESSION, events: paced, perSecond }
          const { appended } = await nodes[0]!.call.pace('redis', pacing)
          return dials.map(() => appended)
        })
        one.complete &&= deliveries.every(({ complete }) => complete)
        const [p50, p99] = deliveries[count - 1]!.delays
        one.p50s.push(p50)
        one.p99s.push(p99)
        show((round + count / COUNTS.length) / rounds)
      }
    }
    await Promise.all(nodes.map(node => node.call.close()))
  } finally {
    await Promise.all(nodes.map(node => node.stop()))
  }
  return {
    table: {
      title: `Nodes on one Redis: written by all at once, ${PER_CALL} a call; delivered from the first to the last, ms`,
      columns: ['nodes', 'events a second', 'quartiles', 'delivered p50', 'p99'],
      rows: found.map(({ count, rates, p50s, p99s }) => {
        const rate = spread(rates)
        return [String(count), rate.median, quartiles(rate), spread(p50s).median, spread(p99s).median]
      }),
    },
    checks: found.map(({ count, complete }) => ({
      what: `${count} nodes: subscribers of all nodes got every event once, in order`,
      holds: complete,
    })),
  }
}
