/** The agents whose events are compared: the same ones inside the server and in a worker. */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { micros } from '../clock.ts'
import { type Agent, defineAgent } from '../package/server.ts'

/** Events that are yielded without a break, as a model's chunks come in bursts. */
const BURST = 50

/** @param place begins their names */
export function measuredAgents(place: string): Agent[] {
  const burst = defineAgent({
    name: `${place}-burst`,
    description: 'Yields deltas as fast as possible.',
    input: z.object({ events: z.int() }),
    async *run({ events }) {
      const before = process.cpuUsage()
      for (let i = 0; i < events; i++) {
        if (i % BURST === 0) await sleep(1)
        yield { type: 'text.delta', data: { partId: 'p', delta: `word ${i} ` } }
      }
      const { user, system } = process.cpuUsage(before)
      return { result: { cpuUs: user + system } }
    },
  })
  const paced = defineAgent({
    name: `${place}-paced`,
    description: 'Yields events at a pace.',
    input: z.object({ events: z.int(), everyMs: z.number() }),
    async *run({ events, everyMs }) {
      for (let i = 0; i < events; i++) {
        await sleep(everyMs)
        yield { type: 'x.at', data: { us: micros() } }
      }
    },
  })
  return [burst, paced] as Agent[]
}
