/** The messages of a model call, from the input of the run or from the session's log. */
import { z } from 'zod'
import { beginning, listOf, TEXT_CHARS, type TwinrailEvent } from '../../protocol/index.ts'
import { ending, wellFormed, wellFormedValue } from '../well-formed.ts'
import type { ModelMessage } from './sdk.ts'

/** Limits of the history that a model call includes; the newest entries are used. */
export const historyBounds = {
  /** Number of texts, prompts and tool calls. */
  messages: 100,
  /** Number of events that are read from the log. */
  events: 20_000,
  /** UTF-16 units of all messages together. */
  characters: 200_000,
  /** UTF-16 units of one message; a longer one is cut to its end, a longer tool result to its beginning. */
  messageCharacters: 50_000,
} as const

/** A message of the user or the model. */
export interface ChatMessage {
  /** Who said it. */
  role: 'user' | 'assistant'
  /** The text. */
  content: string
}

const Text = z.string().max(TEXT_CHARS)

/** Messages in one input, and parts in one message. */
const MAX_ENTRIES = 1000

const Part = z.looseObject({
  type: z
    .string()
    .max(256)
    .refine(type => type !== 'file' && type !== 'image', 'this agent takes text only'),
  text: Text.optional(),
})

function textOf(content: string | z.output<typeof Part>[]): string {
  if (typeof content === 'string') return content
  return content
    .filter(part => part.type === 'text' && part.text)
    .map(part => part.text)
    .join('\n\n')
}

// No `system` role: only the server sets the model's instructions, not its clients.
const Message = z
  .looseObject({
    role: z.enum(['user', 'assistant']),
    content: z.union([Text, listOf(Part, MAX_ENTRIES)]).optional(),
    parts: listOf(Part, MAX_ENTRIES).optional(),
  })
  .transform(({ role, content, parts }): ChatMessage => ({ role, content: textOf(content ?? parts ?? []) }))

/**
 * Input of a chat agent: either `prompt`, which continues the conversation of the session's earlier runs, or `messages`,
 * which are the whole conversation. Messages may be the AI SDK's model messages or UI messages: their text is used, and
 * files are refused.
 */
export const ChatInput = z
  .looseObject({
    prompt: z
      .string()
      .min(1)
      .max(TEXT_CHARS)
      .optional()
      .describe('What the user says; earlier runs are the conversation before it'),
    messages: listOf(Message, MAX_ENTRIES)
      .transform(messages => messages.filter(message => message.content !== ''))
      .refine(messages => messages.length > 0, 'expected at least one message with text')
      .optional()
      .describe('The whole conversation, in place of prompt'),
  })
  .refine(input => (input.prompt === undefined) !== (input.messages === undefined), {
    message: 'expected either prompt or messages',
    path: ['prompt'],
  })

/** The input of a chat: a prompt that continues the session, or the whole conversation. */
export type ChatInput = z.output<typeof ChatInput>

/**
 * Returns the messages for the model: those of the input, or the session's history with the prompt after it.
 * @param recent the session's events before this run, newest first; read until the bounds are full
 * @param tools names of the tools whose earlier calls are included
 */
export async function conversation(
  input: ChatInput,
  recent: () => AsyncIterable<TwinrailEvent>,
  tools: ReadonlySet<string> = new Set(),
): Promise<ModelMessage[]> {
  if (input.messages)
    return input.messages.map(({ role, content }) => ({ role, content: wellFormed(content) }))
  const history = new History(tools)
  let events = 0
  for await (const event of recent()) {
    if (history.add(event) || ++events >= historyBounds.events) break
  }
  return modelMessages([...history.entries(), { kind: 'user', text: input.prompt ?? '' }])
}

/** One entry of the session's conversation: a message or a tool call. */
type Entry =
  | { kind: 'user' | 'assistant'; text: string }
  | { kind: 'tool'; toolCallId: string; toolName: string; input: unknown; output: ToolOutput }

interface ToolOutput {
  type: 'text' | 'error-text'
  value: string
}

/** Collects the entries of the conversation from events, which it takes newest first. */
class History {
  readonly #tools: ReadonlySet<string>
  /** Newest first. */
  readonly #entries: Entry[] = []
  /** By run and part, the deltas of texts whose start has not come yet, newest first. */
  readonly #texts = new Map<string, { deltas: string[]; length: number }>()
  /** By run and call, the results of tools whose call has not come yet. */
  readonly #outputs = new Map<string, ToolOutput>()
  /** By run and input, messages of users whose event with the text has not come yet. */
  readonly #applied = new Map<string, Entry & { kind: 'user' }>()
  #characters = 0

  constructor(tools: ReadonlySet<string>) {
    this.#tools = tools
  }

  /** Adds the next older event. Returns true when no older event is needed. */
  add(event: TwinrailEvent): boolean {
    const key = (id: string) => `${event.runId ?? ''} ${id}`
    switch (event.type) {
      case 'run.started':
        if (this.#addInput(event.data.input)) return true
        break
      case 'text.start': {
        const { partId, role } = event.data
        const text = joined(this.#texts.get(key(partId))?.deltas ?? [])
        this.#texts.delete(key(partId))
        this.#entries.push({ kind: role === 'user' ? 'user' : 'assistant', text })
        break
      }
      case 'text.delta':
        this.#addDelta(key(event.data.partId), event.data.delta)
        break
      case 'tool.finished':
        this.#outputs.set(
          key(event.data.toolCallId),
          outputOf(event.data.output, event.data.isError === true),
        )
        break
      case 'tool.called':
        this.#addCall(key(event.data.toolCallId), event.data)
        break
      case 'input.applied': {
        const entry = { kind: 'user' as const, text: '' }
        this.#applied.set(key(event.data.inputId), entry)
        this.#entries.push(entry)
        break
      }
      case 'input.steered': {
        const entry = this.#applied.get(key(event.data.inputId))
        if (entry) entry.text = this.#count(ending(event.data.text, MAX))
        this.#applied.delete(key(event.data.inputId))
      }
    }
    return this.#isFull()
  }

  /** Oldest first, within the bounds. A text whose start lies beyond them is the oldest. */
  entries(): Entry[] {
    const cut = [...this.#texts.values()].map(({ deltas }) => {
      return { kind: 'assistant' as const, text: joined(deltas) }
    })
    const all = [...this.#entries, ...cut].filter(entry => entry.kind === 'tool' || entry.text !== '')
    let characters = 0
    const beyond = all.findIndex((entry, index) => {
      characters += sizeOf(entry)
      return characters > historyBounds.characters || index >= historyBounds.messages
    })
    return (beyond === -1 ? all : all.slice(0, beyond)).reverse()
  }

  /** The input of a run. Returns whether it is a whole conversation, so that older events are not needed. */
  #addInput(given: unknown): boolean {
    const input = ChatInput.safeParse(given).data
    if (!input?.messages) {
      const text = input?.prompt ?? JSON.stringify(given) ?? ''
      this.#entries.push({ kind: 'user', text: this.#count(ending(text, MAX)) })
      return false
    }
    for (const { role, content } of [...input.messages].reverse()) {
      this.#entries.push({ kind: role, text: this.#count(ending(content, MAX)) })
    }
    return true
  }

  #addDelta(key: string, delta: string): void {
    const text = this.#texts.get(key) ?? { deltas: [], length: 0 }
    this.#texts.set(key, text)
    // Deltas before the limit of a message are skipped: only the end of a long text is used.
    const kept = delta.slice(Math.max(0, delta.length - (MAX - text.length)))
    text.length += kept.length
    if (kept !== '') text.deltas.push(this.#count(kept))
  }

  #addCall(
    key: string,
    { toolCallId, toolName, input }: { toolCallId: string; toolName: string; input: unknown },
  ): void {
    const output = this.#outputs.get(key)
    this.#outputs.delete(key)
    // A call whose result is missing would be refused by the provider, and so may one of a tool that it is not given.
    if (!output || !this.#tools.has(toolName)) return
    const entry: Entry = { kind: 'tool', toolCallId, toolName, input: withinBounds(input), output }
    this.#characters += sizeOf(entry)
    this.#entries.push(entry)
  }

  #count(text: string): string {
    this.#characters += text.length
    return text
  }

  #isFull(): boolean {
    return this.#characters > historyBounds.characters || this.#entries.length > historyBounds.messages
  }
}

const MAX = historyBounds.messageCharacters

/** A text whose deltas were read newest first. What is cut off may end in half a character. */
function joined(deltas: readonly string[]): string {
  return deltas
    .toReversed()
    .join('')
    .replace(/^[\uDC00-\uDFFF]/, '')
}

function sizeOf(entry: Entry): number {
  if (entry.kind !== 'tool') return entry.text.length
  return entry.output.value.length + (JSON.stringify(entry.input)?.length ?? 0)
}

function outputOf(output: unknown, isError: boolean): ToolOutput {
  const text = typeof output === 'string' ? output : (JSON.stringify(output) ?? 'null')
  return { type: isError ? 'error-text' : 'text', value: beginning(text, MAX) }
}

function withinBounds(input: unknown): unknown {
  const json = JSON.stringify(input) ?? 'null'
  return json.length <= MAX ? (input ?? {}) : { omitted: `${json.length} characters of JSON` }
}

/**
 * The same as messages, with the user first and the two sides in turn: many models' chat templates refuse anything
 * else, and a run that failed or was cancelled leaves a question without an answer. A repeated question with nothing
 * in between is included once.
 */
function modelMessages(entries: readonly Entry[]): ModelMessage[] {
  const first = entries.findIndex(({ kind }) => kind === 'user')
  const turns: Turn[] = []
  for (const entry of entries.slice(first)) {
    const last = turns.at(-1)
    if (entry.kind === 'user') {
      if (last?.role !== 'user') turns.push({ role: 'user', texts: [entry.text] })
      else if (last.texts.at(-1) !== entry.text) last.texts.push(entry.text)
    } else if (entry.kind === 'tool') {
      if (last?.role === 'assistant') last.calls.push(entry)
      else turns.push({ role: 'assistant', texts: [], calls: [entry] })
    } else if (last?.role === 'assistant' && last.calls.length === 0) last.texts.push(entry.text)
    else turns.push({ role: 'assistant', texts: [entry.text], calls: [] })
  }
  return turns.flatMap(messagesOf)
}

type Turn =
  | { role: 'user'; texts: string[] }
  | { role: 'assistant'; texts: string[]; calls: (Entry & { kind: 'tool' })[] }

function messagesOf(turn: Turn): ModelMessage[] {
  const text = wellFormed(turn.texts.join('\n\n'))
  if (turn.role === 'user' || turn.calls.length === 0) return [{ role: turn.role, content: text }]
  const said = text === '' ? [] : [{ type: 'text', text }]
  const calls = turn.calls.map(({ toolCallId, toolName, input }) => {
    return { type: 'tool-call', toolCallId, toolName, input: wellFormedValue(input) }
  })
  const results = turn.calls.map(({ toolCallId, toolName, output: { type, value } }) => {
    return { type: 'tool-result', toolCallId, toolName, output: { type, value: wellFormed(value) } }
  })
  return [
    { role: 'assistant', content: [...said, ...calls] },
    { role: 'tool', content: results },
  ]
}
