/** `networks`: what round trips, lost packets and slow lines cost each way to connect, through a proxy that delays. */
import { type CellRound, measureCell } from '../networks/cell.ts'
import type { NetworkLoadHandlers } from '../networks/load-process.ts'
import { profileNames, profiles, type WayName, wayNames, ways } from '../networks/profiles.ts'
import type { ProxyHandlers } from '../networks/proxy-process.ts'
import { type NetworkError, networksResult, type Rounds, SHARED_AT } from '../networks/result.ts'
import type { NetworkServerHandlers } from '../networks/server-process.ts'
import { seeded, shuffled } from '../random.ts'
import { startWorker } from '../worker.ts'
import { testTls } from '../workloads/stages.ts'
import { nodeFlags, type Scenario } from './scenario.ts'

/** Cells that run at a time: they mostly wait. */
const TOGETHER = 9

/** Of the echo that shows the network's own error. */
const PROBE = { roundTripMs: 20 }

export const networks: Scenario = async (settings, progress) => {
  const { quick, rounds = quick ? 2 : 5 } = settings
  const random = seeded(20)
  await using server = startWorker<NetworkServerHandlers>('networks/server-process', nodeFlags(settings))
  await using proxy = startWorker<ProxyHandlers>('networks/proxy-process')
  await using load = startWorker<NetworkLoadHandlers>('networks/load-process')
  const ports = await server.call.open(testTls())
  await load.call.probe(await proxy.call.open(ports.echo, PROBE, 0), PROBE.roundTripMs)
  const parts = { server, proxy, load, ports }
  const cells = wayNames.flatMap(way => profileNames.map(profile => ({ way, profile })))
  const found: Rounds = Object.fromEntries(
    wayNames.map(way => [way, Object.fromEntries(profileNames.map(profile => [profile, [] as CellRound[]]))]),
  ) as Rounds
  const extent = quick ? { connects: 1, commands: 3, paced: 20 } : { connects: 3, commands: 5, paced: 200 }
  // The first use of each way compiles what it needs.
  await Promise.all(
    wayNames.map(way =>
      measureCell(parts, ways[way], { roundTripMs: 1 }, { ...extent, paced: 5, loses: false }, 0),
    ),
  )
  const jobs = Array.from({ length: rounds }, () => shuffled(cells, random)).flat()
  let done = 0
  const work = async (): Promise<void> => {
    for (let job = jobs.shift(); job; job = jobs.shift()) {
      const { way, profile } = job
      const loses = profile === SHARED_AT
      const seed = Math.floor(random() * 2 ** 31)
      found[way as WayName][profile].push(
        await measureCell(parts, ways[way], profiles[profile], { ...extent, loses }, seed),
      )
      progress.at(++done / (rounds * cells.length), `${way}, ${profile}`)
    }
  }
  await Promise.all(Array.from({ length: TOGETHER }, work))
  const error: NetworkError = { echo: await load.call.probed(), pieces: await proxy.call.lateness() }
  return networksResult(found, error, { ...extent, rounds, together: TOGETHER }, quick)
}
