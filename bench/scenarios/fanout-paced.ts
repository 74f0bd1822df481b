/** The part of `fanout` with a server that is not Node: each server in a process of its own, events by HTTP at a pace. */
import { setTimeout as sleep } from 'node:timers/promises'
import { micros } from '../clock.ts'
import { Publisher } from '../load/publisher.ts'
import type { handlers as Subscribers } from '../load/subscriber-process.ts'
import { dialTwinrail, SESSION } from '../peers/dial-twinrail.ts'
import { dialNchan, nchanPaths, startNchan } from '../peers/nchan.ts'
import { type Body, type Dial, Envelope, wires } from '../peers/peer.ts'
import { seeded, shuffled } from '../random.ts'
import type { Check, Table } from '../report.ts'
import { quartileFigures } from '../report.ts'
import type { CommandServerHandlers } from '../server/command-server-process.ts'
import { type Group, ratio, spread } from '../stats.ts'
import { deltas, take } from '../text.ts'
import { startWorker } from '../worker.ts'
import { timeDelivery } from './delivery.ts'

export interface PacedSizes {
  readonly subscribers: number
  readonly rounds: number
  /** Turns of a round, and their pace. */
  readonly turns: number
  readonly turnsPerSecond: number
}

interface Server {
  readonly publisher: Publisher
  cpuUs(): number | Promise<number>
  readonly dials: readonly Dial[]
  /** What is posted for an event, and where. */
  readonly path: string
  text(body: Body): string
}

const PER_TURN = [1, 10] as const

/** @returns a table for each number of events per turn */
export async function comparePaced(
  { subscribers, rounds, turns, turnsPerSecond }: PacedSizes,
  show: (part: number) => void,
): Promise<{ tables: Table[]; checks: Check[] }> {
  await using worker = startWorker<CommandServerHandlers>('server/command-server-process')
  const nchan = await startNchan()
  try {
    const port = await worker.call.start('twinrail memory', { folder: '', redis: undefined })
    const envelope = new Envelope(SESSION)
    const creator = new Publisher(port)
    creator.post('/v1/sessions', [JSON.stringify({ sessionId: SESSION })])
    await creator.answered()
    creator.close()
    const servers: Record<string, Server> = {
      twinrail: {
        publisher: new Publisher(port),
        cpuUs: () => worker.call.cpuUs(),
        dials: wires.map(wire => dialTwinrail(wire, port, { replay: 'none' })),
        path: `/v1/sessions/${SESSION}/commands`,
        text: event => JSON.stringify({ type: 'publish', id: String(++ids), event }),
      },
      nchan: {
        publisher: new Publisher(nchan.port),
        cpuUs: nchan.cpuUs,
        dials: wires.map(wire => dialNchan(wire, nchan.port, SESSION)),
        path: nchanPaths(SESSION).publish,
        text: body => JSON.stringify(envelope.wrap(body)),
      },
    }
    const names = Object.keys(servers).flatMap(name =>
      wires.map((wire, i) => ({ title: `${name} ${wire === 'sse' ? 'SSE' : 'WebSocket'}`, name, dial: i })),
    )
    const random = seeded(1)
    const found = new Map(PER_TURN.map(perTurn => [perTurn, [] as Group[]]))
    const complete = new Map(names.map(({ title }) => [title, true]))
    const bodies = deltas(1)
    for (let round = 0; round <= rounds; round++) {
      for (const perTurn of PER_TURN) {
        const group: Record<string, number> = {}
        for (const { title, name, dial } of shuffled(names, random)) {
          const server = servers[name] as Server
          // Its subscribers alone: an event goes to all that follow the session.
          await using load = startWorker<typeof Subscribers>('load/subscriber-process')
          await load.call.open([server.dials[dial] as Dial], subscribers, 10)
          const before = await server.cpuUs()
          const [delivered] = await timeDelivery(load, { perTurn, turns }, async () => {
            const due = new Float64Array(turns)
            const begun = micros()
            for (let turn = 0; turn < turns; turn++) {
              const at = begun + (turn * 1e6) / turnsPerSecond
              while (micros() < at) await sleep(1)
              due[turn] = at
              // Clients may publish types of their own only.
              server.publisher.post(
                server.path,
                take(bodies, perTurn).map(({ data }) => server.text({ type: 'x.delta', data })),
              )
            }
            await server.publisher.answered()
            return [due]
          })
          group[title] = ((await server.cpuUs()) - before) / (turns * perTurn * subscribers)
          if (!delivered?.complete) complete.set(title, false)
        }
        // The first round warms up.
        if (round > 0) found.get(perTurn)?.push(group)
      }
      show((round + 1) / (rounds + 1))
    }
    for (const { publisher } of Object.values(servers)) publisher.close()
    return {
      tables: [...found].map(([perTurn, groups]) => ({
        title: `Beside Nchan: ${perTurn} per turn, ${turnsPerSecond} turns a second, processes of their own`,
        columns: ['', 'CPU µs/event', 'quartiles', ': nchan'],
        rows: names.map(({ title }) => {
          const cpu = spread(groups.map(group => group[title] as number))
          const against = title.replace('twinrail', 'nchan')
          return [title, cpu.median, quartileFigures(cpu), ratio(groups, title, against).median]
        }),
      })),
      checks: [...complete].map(([title, holds]) => ({
        what: `${title}, paced: every subscriber got every event once, in order`,
        holds,
      })),
    }
  } finally {
    await nchan.stop()
  }
}

let ids = 0
