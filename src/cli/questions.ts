/** Asks a run's questions at a prompt or, without a terminal, prints how to answer them. */
import { createInterface } from 'node:readline/promises'
import { ClientError } from '../../client/index.ts'
import { isTerminal, type TwinrailEvent } from '../protocol/index.ts'
import { hintOf, parseAnswer, type Question } from './answers.ts'
import type { Screen } from './screen.ts'
import { oneLine } from './text.ts'

export type Input = NodeJS.ReadableStream & { isTTY?: boolean }

export interface QuestionsOptions {
  screen: Screen
  stdin: Input
  /** Whether a person is at the terminal. */
  interactive: boolean
  /** Sends an answer; rejects with the server's refusal. */
  answer(requestId: string, value: unknown): Promise<unknown>
  /** Says how to answer without a prompt. */
  howToAnswer(question: Question): string
  /** Called for Ctrl-C at the prompt, where the terminal is in raw mode and raises no signal. */
  interrupt(): void
}

interface Open {
  question: Question
  runId: string | undefined
  /** Whether the user was asked, or was shown how to answer. */
  announced: boolean
}

/** Keeps the open questions in order and asks one at a time. A question that somebody else answers is withdrawn. */
export class Questions {
  readonly #options: QuestionsOptions
  readonly #open = new Map<string, Open>()
  #live = false
  #asked: { requestId: string; stop: AbortController } | undefined

  constructor(options: QuestionsOptions) {
    this.#options = options
  }

  /** The backlog is over, so the questions that are open now still wait for an answer. */
  caughtUp(): void {
    this.#live = true
    this.ask()
  }

  /** Updates the open questions from an event. The prompt of a question that is settled is withdrawn at once. */
  observe({ type, data, runId }: TwinrailEvent): void {
    if (type === 'input.requested')
      this.#open.set(data.requestId, { question: data, runId, announced: false })
    if (type === 'input.answered' || type === 'input.expired') this.#settle(data.requestId)
    if (!isTerminal(type)) return
    for (const [requestId, open] of this.#open) if (open.runId === runId) this.#settle(requestId)
  }

  /** Asks the next open question, unless one is being asked. */
  ask(): void {
    if (!this.#live || this.#asked) return
    for (const open of this.#open.values()) {
      if (open.announced) continue
      open.announced = true
      if (this.#options.interactive) return void this.#prompt(open.question)
      this.#options.screen.note(this.#options.howToAnswer(open.question), 'yellow')
    }
  }

  /** Withdraws the prompt, if there is one, and asks no further question. */
  close(): void {
    this.#live = false
    this.#withdraw()
  }

  #settle(requestId: string): void {
    this.#open.delete(requestId)
    if (this.#asked?.requestId === requestId) this.#withdraw()
  }

  #withdraw(): void {
    const { screen } = this.#options
    this.#asked?.stop.abort()
    if (!screen.prompt) return
    screen.prompt = undefined
    screen.stderr.write('\x1b[A\r\x1b[2K') // readline ends the line of a question that is aborted
  }

  async #prompt(question: Question): Promise<void> {
    const { screen, stdin, interrupt, howToAnswer } = this.#options
    const stop = new AbortController()
    this.#asked = { requestId: question.requestId, stop }
    const lines = createInterface({ input: stdin, output: screen.stderr })
    let left = false
    lines.on('SIGINT', interrupt)
    lines.on('close', () => {
      left = !stop.signal.aborted
      this.#withdraw()
    })
    const prompt = { hide: () => void screen.stderr.write('\r\x1b[2K'), show: () => lines.prompt(true) }
    try {
      let done = false
      while (!done) {
        screen.prompt = prompt
        const line = await lines.question(`${oneLine(hintOf(question), 1000)}> `, stop)
        screen.prompt = undefined
        done = await this.#answered(question, line)
      }
    } catch (error) {
      if (!stop.signal.aborted) throw error
      if (left) screen.note(howToAnswer(question), 'yellow')
    } finally {
      stop.abort()
      lines.close()
      this.#asked = undefined
      this.ask()
    }
  }

  /** Whether the question is done with: answered, or not to be answered from here. */
  async #answered(question: Question, line: string): Promise<boolean> {
    const { screen, answer } = this.#options
    const parsed = parseAnswer(question, line)
    if ('complaint' in parsed) {
      screen.note(parsed.complaint, 'yellow')
      return false
    }
    try {
      await answer(question.requestId, parsed.value)
      return true
    } catch (error) {
      if (!(error instanceof ClientError)) throw error
      screen.note(`✗ ${error.message}`, 'red')
      return error.code !== 'bad-request'
    }
  }
}
