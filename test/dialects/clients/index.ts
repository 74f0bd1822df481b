/** The foreign clients that are tried, by the names of the table in docs/clients/README.md. */
import { httpAgent, tanstack } from './ag-ui.ts'
import { webSocketChat, workflowChat } from './chat-sdk.ts'
import type { ForeignClient } from './client.ts'
import { autoAgent, deepsearchTool, geniePage, printedAgent } from './genie.ts'
import { completions, responses } from './openai.ts'
import { pythonCompletions, pythonResponses } from './openai-python.ts'
import { inChromium, inJsdom } from './use-chat.ts'

export const clients: Readonly<Record<string, ForeignClient>> = {
  '`useChat` 7 in jsdom': inJsdom(7),
  '`useChat` 6 in jsdom': inJsdom(6),
  '`useChat` 7 in Chromium': inChromium(7),
  '`useChat` 6 in Chromium': inChromium(6),
  '`WebSocketChatTransport`': webSocketChat,
  '`WorkflowChatTransport`': workflowChat,
  '`HttpAgent`': httpAgent,
  'TanStack AI `ChatClient`': tanstack,
  '`openai` responses': responses,
  '`openai` chat completions': completions,
  '`openai` for Python, responses': pythonResponses,
  '`openai` for Python, chat completions': pythonCompletions,
  'Genie’s page': geniePage,
  '`/AutoAgent`, real form': autoAgent,
  '`/AutoAgent`, printed form': printedAgent,
  '`/v1/tool/deepsearch`, printed form': deepsearchTool,
}
