/** The commands of one WebSocket: those of one session in their order, those of different sessions side by side. */
import { type Command, TwinrailError } from '../protocol/index.ts'
import { isJoint } from '../sessions/commands.ts'

/** A command that waits, with the size of its message. */
interface Waiting {
  readonly command: Command
  readonly bytes: number
}

export interface LaneParts {
  /** Executes a command. @returns `done` when it is under way and the next one need not wait for its answer */
  execute(command: Command, bytes: number): Promise<{ done: Promise<void> } | undefined>
  /** Answers a command that failed. Must not throw. */
  refuse(command: Command, error: unknown): void
  /** `pending` has changed. Must not throw. */
  onChange(): void
}

/** Commands without a session, such as `ping`, have a lane of their own. */
const NO_SESSION = ''

const laneOf = (command: Command) => ('sessionId' in command ? command.sessionId : NO_SESSION)

/** Executes the commands of each session in the order in which they were added. */
export class CommandLanes {
  readonly #parts: LaneParts
  /** What waits for the command of its session that is being executed. */
  readonly #lanes = new Map<string, Waiting[]>()
  /** The answer to the last of a session's commands that do not wait for one another, while it is due. */
  readonly #joint = new Map<string, Promise<void>>()
  #pending = 0

  constructor(parts: LaneParts) {
    this.#parts = parts
  }

  /** Commands that have no answer yet. */
  get pending(): number {
    return this.#pending
  }

  add(command: Command, bytes: number): void {
    const lane = laneOf(command)
    this.#pending++
    this.#parts.onChange()
    const waiting = this.#lanes.get(lane)
    if (waiting) {
      waiting.push({ command, bytes })
      return
    }
    const first = [{ command, bytes }]
    this.#lanes.set(lane, first)
    void this.#work(lane, first)
  }

  /**
   * Executes what waits in a lane, one after the other, until nothing does. Publishes that follow one another are only
   * authorized one after the other: their events share a call of the log.
   */
  async #work(lane: string, waiting: Waiting[]): Promise<void> {
    for (let next = waiting[0]; next; next = waiting[0]) {
      const { command, bytes } = next
      const joint = isJoint(command) ? undefined : this.#joint.get(lane)
      if (joint) {
        // It stays in the lane meanwhile, so that it is refused with the others when the log is away.
        await joint
        continue
      }
      waiting.shift()
      try {
        const answered = await this.#parts.execute(command, bytes)
        if (answered) {
          this.#await(lane, command, answered.done)
          continue
        }
      } catch (error) {
        this.#failed(lane, command, error)
      }
      this.#settled()
    }
    this.#lanes.delete(lane)
  }

  /** Lets the lane go on before the answer to a command is due. */
  #await(lane: string, command: Command, done: Promise<void>): void {
    const settled = done
      .catch(error => this.#failed(lane, command, error))
      .then(() => {
        if (this.#joint.get(lane) === settled) this.#joint.delete(lane)
        this.#settled()
      })
    this.#joint.set(lane, settled)
  }

  /** Refuses a command, and those behind it when the log is away: each would wait for its own deadline, for minutes in all. */
  #failed(lane: string, failed: Command, error: unknown): void {
    this.#parts.refuse(failed, error)
    const isAway = error instanceof TwinrailError && error.code === 'unavailable'
    const waiting = this.#lanes.get(lane)
    // Those of no session may need no log.
    if (!isAway || lane === NO_SESSION || !waiting) return
    for (const { command } of waiting) this.#parts.refuse(command, error)
    this.#pending -= waiting.length
    waiting.length = 0
  }

  #settled(): void {
    this.#pending--
    this.#parts.onChange()
  }
}
