/** An assistant without a model: it picks tools by the words of the question, and always answers in the same way. */
import { setTimeout as pause } from 'node:timers/promises'
import { type Agent, defineAgent, type EventBody, type RunContext, RunError } from 'twinrail'
import { z } from 'zod'
import { guide } from './guide.ts'
import { type HelpPage, type Order, UnknownOrder } from './shop.ts'
import type { createTools, ToolName } from './tools.ts'

/** Pause between two words, in ms: about as fast as a model. */
const WORD_MS = 25

const Approval = {
  type: 'object',
  properties: { approved: { type: 'boolean' } },
  required: ['approved'],
}

const hello = `I look after the orders of a bicycle shop. I can

- look up an order: **“Where is order 1042?”**
- refund it, once you approve: **“Refund order 1042”**
- read the help pages: **“How long does shipping take?”**
- write something long: **“Write a guide to bicycle care”**

I am a few rules and not a language model. Set \`OPENAI_BASE_URL\`, \`OPENAI_API_KEY\` and \`OPENAI_MODEL\` for one.`

/** @param tools the tools that the agent may call */
export function builtInAgent(tools: ReturnType<typeof createTools>): Agent<{ prompt: string }> {
  return defineAgent({
    name: 'chat',
    description: 'Built-in assistant',
    input: z.object({ prompt: z.string().min(1).max(10_000) }),
    async *run({ prompt }, context) {
      const turn = new Turn(tools, context)
      const orderId = /\b\d{4}\b/.exec(prompt)?.[0]
      if (/refund|money back/i.test(prompt)) return yield* turn.refund(orderId ?? (await lastOrder(context)))
      if (orderId) return yield* turn.look(orderId)
      if (/\bguide\b/i.test(prompt)) return yield* turn.say(guide)
      return yield* turn.help(prompt)
    },
  })
}

/** The order that the conversation was last about. */
async function lastOrder(context: RunContext): Promise<string | undefined> {
  for await (const event of context.recent()) {
    if (event.type !== 'tool.called') continue
    const { orderId } = event.data.input as { orderId?: string }
    if (orderId) return orderId
  }
  return undefined
}

/** One answer. Its methods yield the events of its parts. */
class Turn {
  readonly #tools: ReturnType<typeof createTools>
  readonly #context: RunContext
  #parts = 0

  constructor(tools: ReturnType<typeof createTools>, context: RunContext) {
    this.#tools = tools
    this.#context = context
  }

  async *look(orderId: string): AsyncGenerator<EventBody, void, void> {
    yield* this.#write('reasoning', `The question names order ${orderId}, so I look it up first.`)
    const order = yield* this.#lookUp(orderId)
    if (!order) return
    yield* this.say(
      `Order **${order.id}** is **${order.status}**.

| | |
|---|---|
| Item | ${order.item} |
| Price | ${euros(order)} |
| Carrier | ${order.carrier} |

Shall I refund it? Then say “refund it”.`,
    )
  }

  async *refund(orderId: string | undefined): AsyncGenerator<EventBody, void, void> {
    if (!orderId) return yield* this.say('Which order? Tell me its four digits, such as 1042.')
    yield* this.#write(
      'reasoning',
      `A refund moves money. I check order ${orderId}, then a person has to agree.`,
    )
    const order = yield* this.#lookUp(orderId)
    if (!order) return
    if (order.status === 'refunded') return yield* this.say(`Order ${orderId} was refunded already.`)
    yield* this.say(
      `Order ${orderId} is a **${order.item}** for ${euros(order)}. The refund needs your approval.`,
    )
    const refunded = yield* this.#call(
      'refund_order',
      { orderId },
      `Refund ${euros(order)} for order ${orderId}?`,
    )
    yield* this.say(
      refunded === undefined
        ? 'I have not refunded anything. The order stays as it is.'
        : `Done: **${euros(order)}** go back to your card within three working days.`,
    )
  }

  async *help(question: string): AsyncGenerator<EventBody, void, void> {
    yield* this.#write('reasoning', 'The help pages may answer this.')
    const pages = (yield* this.#call('search_help', { query: question })) as HelpPage[]
    if (pages.length === 0) return yield* this.say(hello)
    for (const { id, title, text } of pages) {
      yield { type: 'source.added', data: { sourceId: id, title, url: `/help/${id}`, excerpt: text } }
    }
    yield* this.say(pages.map(({ title, text }) => `**${title}.** ${text}`).join('\n\n'))
  }

  say(text: string): AsyncGenerator<EventBody, void, void> {
    return this.#write('text', text)
  }

  /** `undefined` for an order that does not exist, which the answer then says. */
  async *#lookUp(orderId: string): AsyncGenerator<EventBody, Order | undefined, void> {
    try {
      return (yield* this.#call('lookup_order', { orderId })) as Order
    } catch (error) {
      if (!(error instanceof UnknownOrder)) throw error
      yield* this.say(error.message)
      return undefined
    }
  }

  /** A text or a reasoning, word by word. */
  async *#write(type: 'text' | 'reasoning', text: string): AsyncGenerator<EventBody, void, void> {
    const partId = this.#id()
    yield { type: `${type}.start`, data: { partId, role: 'assistant' } }
    for (const delta of text.match(/\S+\s*/g) ?? []) {
      await pause(WORD_MS, undefined, { signal: this.#context.signal })
      yield { type: `${type}.delta`, data: { partId, delta } }
    }
    yield { type: `${type}.end`, data: { partId } }
  }

  /**
   * Calls a tool. Asks the users first when the tool needs approval; `undefined` when they decline.
   * @throws UnknownOrder; RunError when the tool fails otherwise
   */
  async *#call(toolName: ToolName, input: object, question = ''): AsyncGenerator<EventBody, unknown, void> {
    const tool = this.#tools[toolName]
    const toolCallId = this.#id()
    yield { type: 'tool.started', data: { toolCallId, toolName } }
    yield { type: 'tool.called', data: { toolCallId, toolName, input } }
    if ('needsApproval' in tool) {
      const { value } = await this.#context.ask({
        kind: 'approval',
        message: question,
        schema: Approval,
        toolCallId,
      })
      if (!(value as { approved: boolean }).approved) {
        yield { type: 'tool.finished', data: { toolCallId, output: 'Denied.', isError: true } }
        return undefined
      }
    }
    await pause(10 * WORD_MS, undefined, { signal: this.#context.signal })
    try {
      const output: unknown = await tool.execute(input as never)
      yield { type: 'tool.finished', data: { toolCallId, output } }
      return output
    } catch (error) {
      const { message } = error as Error
      yield { type: 'tool.finished', data: { toolCallId, output: message, isError: true } }
      if (error instanceof UnknownOrder) throw error
      throw new RunError('tool-failed', message, { retryable: true, cause: error })
    }
  }

  #id(): string {
    this.#parts += 1
    return `${this.#context.runId}-${this.#parts}`
  }
}

const euros = ({ price }: Order) => `€${price.toLocaleString('en')}`
