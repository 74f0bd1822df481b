/** A page with `useChat`, in jsdom or in a browser: what the tests see and do of it. */
import { createElement as h, useEffect } from 'react'
import { createRoot } from 'react-dom/client'

interface Part {
  type: string
  text?: string
  state?: string
  toolCallId?: string
  output?: unknown
  approval?: { id: string }
  data?: { status?: string }
}

/** What both versions of the hook return, as far as it is used here. */
interface HookResult {
  messages: { id: string; role: string; parts: Part[] }[]
  status: string
  error?: Error | undefined
  sendMessage(message: { text: string }): Promise<void>
  resumeStream(): Promise<void>
  stop(): Promise<void>
  addToolApprovalResponse(answer: { id: string; approved: boolean }): unknown
  addToolOutput(output: { tool: string; toolCallId: string; output: unknown }): unknown
}

export interface Sdk {
  useChat(options: object): unknown
  /** Where the page makes the chat itself, as docs/clients/ai-sdk.md tells users of version 6. */
  Chat?: new (
    options: object,
  ) => object
  Transport: new (options: object) => object
  approved(options: never): boolean
  called(options: never): boolean
}

export interface ChatOptions {
  url: string
  agent: string
  id: string
  /** Resumes at once, as a page does that is loaded again. */
  resume: boolean
}

export interface PageState {
  text: string
  verdict: 'completed' | 'failed' | 'cancelled' | 'asks' | undefined
  error?: string | undefined
  status: string
  tools: Record<string, unknown>
}

/** Draws a chat, and gives what a user can do with it. */
export function openChat({ useChat, Chat, Transport, approved, called }: Sdk, options: ChatOptions) {
  const { url, agent, id, resume } = options
  const api = `${url}/ai-sdk/${agent}`
  const transport = new Transport({ api })
  let chat: HookResult
  let finish: { isError?: boolean; isDisconnect?: boolean; finishReason?: string } | undefined
  let isMounted: () => void
  const mounted = new Promise<void>(resolve => {
    isMounted = resolve
  })
  const own = {
    id,
    transport,
    sendAutomaticallyWhen: (state: never) => approved(state) || called(state),
    onFinish: (event: NonNullable<typeof finish>) => {
      finish = event
    },
  }
  const given = Chat ? { chat: new Chat(own), resume } : { ...own, resume }
  function Page() {
    chat = useChat(given) as HookResult
    useEffect(() => isMounted(), [])
    return h('ol', null, ...chat.messages.map(message => h('li', { key: message.id }, text(message.parts))))
  }
  const element = document.createElement('div')
  document.body.append(element)
  const root = createRoot(element)
  root.render(h(Page))

  const text = (parts: Part[]) => parts.flatMap(part => (part.type === 'text' ? [part.text] : [])).join('')
  const last = () => {
    const message = chat.messages.at(-1)
    return message?.role === 'assistant' ? message.parts : []
  }
  const isBusy = () => chat.status === 'submitted' || chat.status === 'streaming'
  const toolIn = (state: string) => last().find(part => part.state === state)
  // The hook tells a page that has been left nothing more: what it said last may be that it is busy.
  let isLeft = false
  /** Resolves when no response is under way and none is about to be asked for, or the page has been left. */
  async function idle(): Promise<void> {
    for (let quiet = 0; quiet < 3 && !isLeft; ) {
      await new Promise(resolve => setTimeout(resolve, 10))
      quiet = isBusy() ? 0 : quiet + 1
    }
  }
  return {
    mounted,
    async send(text: string): Promise<void> {
      finish = undefined
      await chat.sendMessage({ text })
      await idle()
    },
    async resume(): Promise<void> {
      finish = undefined
      await chat.resumeStream()
      await idle()
    },
    idle,
    async approve(): Promise<void> {
      await chat.addToolApprovalResponse({
        id: toolIn('approval-requested')?.approval?.id ?? '',
        approved: true,
      })
      await idle()
    },
    async giveResult(output: object): Promise<void> {
      const { type = '', toolCallId = '' } = toolIn('input-available') ?? {}
      await chat.addToolOutput({ tool: type.slice('tool-'.length), toolCallId, output })
      await idle()
    },
    async cancel(): Promise<void> {
      await fetch(`${api}/${id}/stop`, { method: 'POST' })
      await idle()
    },
    leave() {
      isLeft = true
      root.unmount()
    },
    state(): PageState {
      const parts = last()
      const { status } = parts.find(({ type }) => type === 'data-run')?.data ?? {}
      const isOver = chat.status === 'ready' && finish !== undefined && !finish.isError
      const tools = Object.fromEntries(
        parts.flatMap(part => (part.type.startsWith('tool-') ? [[part.type.slice(5), part.output]] : [])),
      )
      return {
        // What is drawn is what the user sees.
        text: parts.length > 0 ? (element.querySelector('li:last-child')?.textContent ?? '') : '',
        verdict:
          status === 'cancelled' || status === 'failed'
            ? status
            : !isOver
              ? undefined
              : finish?.finishReason === 'tool-calls'
                ? 'asks'
                : finish?.finishReason === 'stop'
                  ? 'completed'
                  : undefined,
        error: chat.error?.message,
        status: chat.status,
        tools,
      }
    },
  }
}
export type ChatPage = ReturnType<typeof openChat>
