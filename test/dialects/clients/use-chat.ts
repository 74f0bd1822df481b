/** `useChat` of version 6 and 7, in jsdom and in Chromium. */
import { build } from 'esbuild'
import { open, skip } from '../../browser/stage.ts'
import type { ChatOptions, ChatPage, PageState, Sdk } from './chat-page.ts'
import type { ForeignClient, Place, Tab } from './client.ts'

export type Version = 6 | 7

const packages = {
  6: { react: 'ai-sdk-react-v6', ai: 'ai-v6' },
  7: { react: '@ai-sdk/react', ai: 'ai' },
}

const optionsOf = ({ url, agent, id }: Place, saved: unknown): ChatOptions => ({
  url,
  agent,
  id,
  resume: saved !== undefined,
})

async function sdkOf(version: Version): Promise<Sdk> {
  const { react, ai } = packages[version]
  const { useChat, Chat } = await import(react)
  const {
    DefaultChatTransport,
    lastAssistantMessageIsCompleteWithApprovalResponses,
    lastAssistantMessageIsCompleteWithToolCalls,
  } = await import(ai)
  return {
    useChat,
    ...(version === 6 && { Chat }),
    Transport: DefaultChatTransport,
    approved: lastAssistantMessageIsCompleteWithApprovalResponses,
    called: lastAssistantMessageIsCompleteWithToolCalls,
  }
}

/** The page in this process, drawn in jsdom. */
export const inJsdom = (version: Version): ForeignClient => ({
  lacks: {},
  async open(t, place, saved): Promise<Tab> {
    await import('../../client/page.ts')
    const { openChat } = await import('./chat-page.ts')
    const page = openChat(await sdkOf(version), optionsOf(place, saved))
    await page.mounted
    t.teardown(() => page.leave())
    return {
      send: text => page.send(text),
      // A page that is loaded again resumes by itself.
      resume: () => (saved === undefined || page.state().status === 'error' ? page.resume() : page.idle()),
      shown: () => page.state(),
      approve: () => page.approve(),
      giveResult: output => page.giveResult(output),
      cancel: () => page.cancel(),
      saved: () => null,
      leave: () => page.leave(),
    }
  },
})

const bundles = new Map<Version, Promise<string>>()

function bundleOf(version: Version): Promise<string> {
  const { react, ai } = packages[version]
  const made =
    bundles.get(version) ??
    build({
      stdin: {
        contents: `
          import { useChat, Chat } from '${react}'
          import {
            DefaultChatTransport as Transport,
            lastAssistantMessageIsCompleteWithApprovalResponses as approved,
            lastAssistantMessageIsCompleteWithToolCalls as called,
          } from '${ai}'
          import { openChat } from './chat-page.ts'
          globalThis.openChat = options => openChat({ useChat, ${version === 6 ? 'Chat, ' : ''}Transport, approved, called }, options)`,
        resolveDir: new URL('.', import.meta.url).pathname,
        loader: 'ts',
      },
      bundle: true,
      format: 'iife',
      target: 'es2022',
      define: { 'process.env.NODE_ENV': '"production"' },
      write: false,
    }).then(({ outputFiles }) => outputFiles[0]?.text ?? '')
  bundles.set(version, made)
  return made
}

declare global {
  var openChat: (options: ChatOptions) => ChatPage
  var chatPage: ChatPage
}

/** The page in a real browser. */
export const inChromium = (version: Version): ForeignClient => ({
  skip,
  lacks: {},
  async open(t, place, saved): Promise<Tab> {
    // A page of the server's own origin.
    const page = await open(t, `${place.url}/healthz`)
    await page.evaluate(await bundleOf(version))
    await page.evaluate(
      async options => {
        globalThis.chatPage = openChat(options)
        await chatPage.mounted
      },
      optionsOf(place, saved),
    )
    const state = (): Promise<PageState> => page.evaluate(() => chatPage.state())
    return {
      send: text => page.evaluate(text => chatPage.send(text), text),
      async resume() {
        const isOpen = saved === undefined || (await state()).status === 'error'
        await page.evaluate(isOpen => (isOpen ? chatPage.resume() : chatPage.idle()), isOpen)
      },
      shown: state,
      approve: () => page.evaluate(() => chatPage.approve()),
      giveResult: output => page.evaluate(output => chatPage.giveResult(output), output),
      cancel: () => page.evaluate(() => chatPage.cancel()),
      saved: () => null,
      leave: () => page.close(),
    }
  },
})
