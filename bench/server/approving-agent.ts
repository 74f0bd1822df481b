/** The agent of the workload `approvals`: it does what the script says, but asks and listens in earnest. */
import { z } from 'zod'
import { type Agent, defineAgent, type EventBody } from '../../src/index.ts'
import type { Cue } from '../content/content.ts'

/** What agents of a session have still to do, in order. */
export class Duties {
  readonly #cues: Cue[] = []
  #onChange: () => void = () => {}

  push(cue: Cue): void {
    this.#cues.push(cue)
    this.#onChange()
  }

  /** Ends a wait that will not be worth it. */
  leave(): void {
    this.#onChange()
  }

  /** The next one; nothing once the signal has aborted. One consumer at a time. */
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

/** @param dutiesOf what is to be done in a session */
export const approvingAgent = (dutiesOf: (sessionId: string) => Duties): Agent =>
  defineAgent({
    name: 'approvals',
    description: 'Asks before it acts.',
    input: z.object({ task: z.string() }),
    async *run(_input, { sessionId, signal, ask, steering }) {
      const duties = dutiesOf(sessionId)
      signal.addEventListener('abort', () => duties.leave(), { once: true })
      const said = steering[Symbol.asyncIterator]()
      for (;;) {
        const cue = await duties.next(signal)
        if (!cue || cue.type === 'run.completed') return
        if (cue.type === 'input.requested') await ask(cue.data as unknown as Question)
        else if (cue.type === 'input.applied') await said.next()
        else yield { type: cue.type, data: cue.data } as EventBody
      }
    },
  }) as Agent
