/** The AI SDK's other transports: one WebSocket for all chats, and that of the Workflow SDK. */
import { createRequire } from 'node:module'
import { Chat } from '@ai-sdk/react'
import {
  lastAssistantMessageIsCompleteWithApprovalResponses as approved,
  type ChatTransport,
  lastAssistantMessageIsCompleteWithToolCalls as called,
  type UIMessage,
  WebSocketChatTransport,
} from 'ai'
import { WebSocket } from 'ws'
import type { ForeignClient, Place, Shown, Tab } from './client.ts'

type Part = UIMessage['parts'][number] & { state?: string; output?: unknown; toolCallId?: string }

/**
 * A chat of the SDK over a transport, without a page.
 * @param isReloaded a chat that has lost its connection is made anew, since resuming doubles what it shows
 */
const chatOver =
  (
    transportTo: (place: Place) => ChatTransport<UIMessage> | Promise<ChatTransport<UIMessage>>,
    isReloaded = false,
  ) =>
  async (_t: unknown, place: Place, saved?: unknown): Promise<Tab> => {
    const transport = await transportTo(place)
    let finish: { isError: boolean; finishReason?: string | undefined } | undefined
    const newChat = (messages: UIMessage[]) =>
      new Chat({
        id: place.id,
        transport,
        messages,
        sendAutomaticallyWhen: state => approved(state) || called(state),
        onFinish(event) {
          finish = event
        },
      })
    let chat = newChat((saved as UIMessage[] | undefined) ?? [])
    /** What came before the answer. */
    const asked = () => chat.messages.slice(0, chat.messages.findLastIndex(({ role }) => role === 'user') + 1)
    const idle = async () => {
      for (let quiet = 0; quiet < 3; ) {
        await new Promise(resolve => setTimeout(resolve, 10))
        quiet = chat.status === 'submitted' || chat.status === 'streaming' ? 0 : quiet + 1
      }
    }
    const parts = () => {
      const message = chat.messages.at(-1)
      return (message?.role === 'assistant' ? message.parts : []) as Part[]
    }
    const verdict = (): Shown['verdict'] => {
      const data = parts().find(({ type }) => type === 'data-run') as
        | { data?: { status: string } }
        | undefined
      const status = data?.data?.status
      if (status === 'cancelled' || status === 'failed') return status
      if (chat.status !== 'ready' || !finish || finish.isError) return undefined
      if (finish.finishReason === 'tool-calls') return 'asks'
      return finish.finishReason === 'stop' ? 'completed' : undefined
    }
    return {
      async send(text) {
        finish = undefined
        await chat.sendMessage({ text })
        await idle()
      },
      async resume() {
        finish = undefined
        if (isReloaded && chat.status === 'error') chat = newChat(asked())
        await chat.resumeStream()
        await idle()
      },
      shown: () => ({
        text: parts()
          .flatMap(part => (part.type === 'text' ? [part.text] : []))
          .join(''),
        verdict: verdict(),
        error: chat.error?.message,
        tools: Object.fromEntries(
          parts().flatMap(part => (part.type.startsWith('tool-') ? [[part.type.slice(5), part.output]] : [])),
        ),
      }),
      async approve() {
        const part = parts().find(({ state }) => state === 'approval-requested') as
          | { approval?: { id: string } }
          | undefined
        await chat.addToolApprovalResponse({ id: part?.approval?.id ?? '', approved: true })
        await idle()
      },
      async giveResult(output) {
        const { type = '', toolCallId = '' } = parts().find(({ state }) => state === 'input-available') ?? {}
        await chat.addToolOutput({ tool: type.slice(5), toolCallId, output } as never)
        await idle()
      },
      async cancel() {
        await fetch(`${place.url}/ai-sdk/${place.agent}/${place.id}/stop`, { method: 'POST' })
        await idle()
      },
      saved: asked,
      leave: () => chat.stop(),
    }
  }

export const webSocketChat: ForeignClient = {
  lacks: {},
  open: chatOver(({ url, agent }) => {
    const options = { url: `${url.replace('http', 'ws')}/ai-sdk/${agent}/ws`, webSocket: WebSocket }
    return new WebSocketChatTransport(options as never) as ChatTransport<UIMessage>
  }),
}

/** Where the package's part for clients is. Its other parts need all of the Workflow SDK, so it is no dependency here. */
export const workflow = (() => {
  try {
    // In contrast to `import`, this looks in NODE_PATH, too.
    return createRequire(import.meta.url).resolve('@ai-sdk/workflow/client')
  } catch {
    return undefined
  }
})()

export const workflowChat: ForeignClient = {
  skip:
    workflow === undefined &&
    'no @ai-sdk/workflow: npm install --legacy-peer-deps (with zod), and set NODE_PATH',
  lacks: {},
  open: chatOver(async ({ url, agent }) => {
    const { WorkflowChatTransport } = await import(workflow ?? '')
    return new WorkflowChatTransport({
      api: `${url}/ai-sdk/${agent}`,
      prepareSendMessagesRequest: ({ id, messages }: { id: string; messages: unknown }) => ({
        body: { id, messages },
      }),
    })
  }, true),
}
