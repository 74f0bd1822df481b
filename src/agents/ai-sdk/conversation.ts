/** The conversation that a model is given: what callers send, and what the session's log holds of it. */
import { z } from 'zod'
import { listOf, TEXT_CHARS, type TwinrailEvent } from '../../protocol/index.ts'

/** How much of a session's earlier runs a model is given. The newest messages count. */
export const historyBounds = {
  messages: 100,
  /** UTF-16 units of all messages together. */
  characters: 200_000,
  /** UTF-16 units of one message; what is longer is cut at its end. */
  messageCharacters: 50_000,
} as const

/** What one side said. */
export interface ChatMessage {
  role: 'user' | 'assistant'
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

// No `system` role: what the model is told to be is the server's to say, not its clients'.
const Message = z
  .looseObject({
    role: z.enum(['user', 'assistant']),
    content: z.union([Text, listOf(Part, MAX_ENTRIES)]).optional(),
    parts: listOf(Part, MAX_ENTRIES).optional(),
  })
  .transform(({ role, content, parts }): ChatMessage => ({ role, content: textOf(content ?? parts ?? []) }))

/**
 * What a chat agent takes: `prompt`, and the session's earlier runs are the conversation before it; or `messages`,
 * the whole conversation as the caller has it. Those may be the AI SDK's model messages or UI messages: their text
 * is used, files are refused.
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

export type ChatInput = z.output<typeof ChatInput>

/** The messages for the model: the caller's own, or what the session's log holds and the prompt after it. */
export async function conversation(
  input: ChatInput,
  history: () => AsyncIterable<TwinrailEvent>,
): Promise<ChatMessage[]> {
  if (input.messages) return input.messages
  return takeTurns([...(await earlierMessages(history())), { role: 'user', content: input.prompt ?? '' }])
}

/** What was said in earlier runs: their inputs, their text, and what users said meanwhile. */
async function earlierMessages(history: AsyncIterable<TwinrailEvent>): Promise<ChatMessage[]> {
  let messages: ChatMessage[] = []
  const texts = new Map<string, ChatMessage>()
  const steered = new Map<string, string>()

  const say = (role: ChatMessage['role'], content: string) => {
    const message = { role, content: cut(content) }
    messages.push(message)
    return message
  }

  for await (const event of history) {
    switch (event.type) {
      case 'run.started': {
        messages = newest(messages)
        const input = ChatInput.safeParse(event.data.input).data
        if (input?.messages) messages = []
        for (const { role, content } of input?.messages ?? []) say(role, content)
        if (!input?.messages) say('user', input?.prompt ?? JSON.stringify(event.data.input) ?? '')
        break
      }
      case 'text.start':
        texts.set(event.data.partId, say(event.data.role === 'user' ? 'user' : 'assistant', ''))
        break
      case 'text.delta': {
        const text = texts.get(event.data.partId)
        if (text) text.content = cut(text.content + event.data.delta)
        break
      }
      case 'text.end':
        texts.delete(event.data.partId)
        break
      case 'input.steered':
        steered.set(event.data.inputId, event.data.text)
        break
      case 'input.applied':
        say('user', steered.get(event.data.inputId) ?? '')
        steered.delete(event.data.inputId)
        break
    }
  }
  return newest(messages)
}

function cut(content: string): string {
  return content.slice(0, historyBounds.messageCharacters)
}

function newest(messages: ChatMessage[]): ChatMessage[] {
  let characters = 0
  const left = messages.findLastIndex(({ content }, index) => {
    characters += content.length
    return characters > historyBounds.characters || messages.length - index > historyBounds.messages
  })
  return messages.slice(left + 1)
}

/**
 * The same words with the user first and the two sides in turn: many models' chat templates refuse anything else,
 * and a run that failed or was cancelled leaves a question without an answer.
 */
function takeTurns(messages: ChatMessage[]): ChatMessage[] {
  const turns: ChatMessage[] = []
  for (const { role, content } of messages) {
    if (content === '') continue
    const last = turns.at(-1)
    if (last?.role === role) last.content += `\n\n${content}`
    else if (last || role === 'user') turns.push({ role, content })
  }
  return turns
}
