/** What the tests do with every foreign client, in the words of its user. */
import type { Test } from 'tap'

/** What a user does, or what happens to him. */
export const situations = [
  'answer',
  'two prompts in a row',
  'tool of the agent',
  'tool of the client',
  'approval',
  'error',
  'cancel',
  'second tab',
  'reload in mid-answer',
  'network cut in mid-answer',
  'server restart in mid-answer',
] as const
export type Situation = (typeof situations)[number]

/** What a client shows of the last run. */
export interface Shown {
  /** The assistant's text. */
  text: string
  /** How the run ended, or that it waits for its user; `undefined` when the client cannot tell, as after a cut. */
  verdict: 'completed' | 'failed' | 'cancelled' | 'asks' | undefined
  /** The text of an error. */
  error?: string | undefined
  /** The results of tools that it knows, by their names. */
  tools?: Record<string, unknown>
}

/** A page, or a program, that shows one conversation. */
export interface Tab {
  /** Sends a prompt. Resolves when the response is over, however that came. */
  send(text: string): Promise<void>
  /** Goes on with the latest run as far as it was missed. Resolves when the response is over, however that came. */
  resume(): Promise<void>
  shown(): Shown | Promise<Shown>
  /** Allows what the run asks for. Resolves when the response to that is over. */
  approve?(): Promise<void>
  /** Gives the result of a tool that the client runs. Resolves when the response to that is over. */
  giveResult?(output: object): Promise<void>
  cancel?(): Promise<void>
  /** The session of the latest run. @default the conversation's id */
  session?(): string
  /** What the page keeps while it is reloaded. */
  saved(): unknown
  /** The page is closed. */
  leave(): unknown
}

/** Where a conversation is. */
export interface Place {
  readonly url: string
  readonly agent: string
  readonly id: string
}

export interface ForeignClient {
  /** Why it is not tried here. @default it is */
  readonly skip?: string | false
  /** What it cannot do, with what happens instead. Another client does these for it. */
  readonly lacks: Partial<Record<Situation, string>>
  open(t: Test, place: Place, saved?: unknown): Tab | Promise<Tab>
}
