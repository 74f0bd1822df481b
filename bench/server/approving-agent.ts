/** The agent of the workload `approvals`: follows the script, but really asks its users and takes their steering. */
import { z } from 'zod'
import { type Agent, defineAgent, type EventBody } from '../package/server.ts'
import type { Cue } from '../workloads/trace.ts'

/** The cues that the agents of a session have still to play, in order. */
export class CueQueue {
  readonly #cues: Cue[] = []
  #onChange: () => void = () => {}

  push(cue: Cue): void {
    this.#cues.push(cue)
    this.#onChange()
  }

  /** Ends the wait of an aborted run. */
  wake(): void {
    this.#onChange()
  }

  /** The next cue; undefined once the signal has aborted. One consumer at a time. */
  async next(signal: AbortSignal): Promise<Cue | undefined> {
    while (this.#cues.length === 0 && !signal.aborted) {
      await new Promise<void>(resolve => {
        this.#onChange = resolve
      })
    }
    return this.#cues.shift()
  }
}

interface Question {
  requestId: string
  kind: 'approval' | 'question'
  message: string
  schema: Record<string, unknown>
  toolCallId: string
}

/** @param cuesOf the queue of a session */
export const approvingAgent = (cuesOf: (sessionId: string) => CueQueue): Agent =>
  defineAgent({
    name: 'approvals',
    description: 'Asks before it acts.',
    input: z.object({ task: z.string() }),
    async *run(_input, { sessionId, signal, ask, steering }) {
      const cues = cuesOf(sessionId)
      signal.addEventListener('abort', () => cues.wake(), { once: true })
      const steered = steering[Symbol.asyncIterator]()
      for (;;) {
        const cue = await cues.next(signal)
        if (!cue || cue.type === 'run.completed') return
        if (cue.type === 'input.requested') await ask(cue.data as unknown as Question)
        else if (cue.type === 'input.applied') await steered.next()
        else yield { type: cue.type, data: cue.data } as EventBody
      }
    },
  }) as Agent
