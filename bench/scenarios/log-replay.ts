/** The part of `log` about replaying a session. */
import { dialTwinrail, SESSION } from '../peers/dial-twinrail.ts'
import { type Check, quartiles, type Table } from '../report.ts'
import type { handlers as Server } from '../server/log.ts'
import type { StoreName } from '../server/stores.ts'
import { spread } from '../stats.ts'
import type { Worker } from '../worker.ts'
import { joinRepeatedly } from './replay.ts'

/** Fills a session of every driver, which subscribers then replay in full, unfolded. */
export async function replayAll(
  server: Worker<typeof Server>,
  ports: Partial<Record<StoreName, number>>,
  events: number,
  rounds: number,
): Promise<{ table: Table; checks: Check[] }> {
  const rows: (string | number)[][] = []
  const checks: Check[] = []
  for (const name of Object.keys(ports) as StoreName[]) {
    await server.call.fill(name, { sessionId: SESSION, events, perCall: 100, inFlight: 4 })
    const head = await server.call.count(name, SESSION)
    const dial = dialTwinrail('sse', ports[name] as number, { replay: 'full' })
    const { ms, held } = await joinRepeatedly(dial, rounds, head)
    const rate = spread(ms.map(ms => (head * 1000) / ms))
    rows.push([name, rate.median, quartiles(rate), head])
    checks.push({
      what: `${name}: a late subscriber gets every event once, in order`,
      holds: held.received === head && held.faults === 0 && held.folds === 0,
    })
  }
  const title = 'Replayed to one SSE subscriber after the other, unfolded'
  return { table: { title, columns: ['', 'events a second', 'quartiles', 'events'], rows }, checks }
}
