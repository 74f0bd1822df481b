/** The guide's choice for a client: by what the application needs, and by what this process or page offers. */
import { chooseTransport } from '../src/guide/choose.ts'
import type { Needs as GuideNeeds } from '../src/guide/needs.ts'
import type { Transport } from './rail.ts'

/** What the application will do and what lies between; the client knows for itself what it can. */
export type Needs = Omit<GuideNeeds, 'webSocket' | 'streams' | 'headers'>

export interface Choice {
  transport: Transport
  /** Why, a sentence each. */
  because: string[]
  /** What to try instead, in order. */
  fallback: Transport[]
}

/**
 * @param webSocket whether there is one
 * @param headers whether requests carry headers, which a WebSocket of a page cannot send
 */
export function choose(needs: Needs, webSocket: boolean, headers: boolean): Choice {
  const page = typeof document !== 'undefined'
  const [navigation] = (page ? performance.getEntriesByType('navigation') : []) as {
    nextHopProtocol?: string
  }[]
  const multiplexed = /^h[23]/.test(navigation?.nextHopProtocol ?? '')
  const { transport, because, fallback } = chooseTransport({
    webSocket,
    streams: typeof ReadableStream !== 'undefined',
    headers: page && headers,
    connections: page && !multiplexed ? 6 : undefined,
    ...needs,
  })
  return { transport, because: because.map(({ text }) => text), fallback }
}
