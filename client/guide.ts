/** Chooses a transport for this client by the rules of the guide. The client imports the guide only here. */
import { applyRules } from '../src/guide/choose.ts'
import type { Transport } from '../src/guide/names.ts'
import type { Needs as GuideNeeds } from '../src/guide/needs.ts'

export { chooseTransport, type Reason, type Recommendation } from '../src/guide/choose.ts'
export type { Transport } from '../src/guide/names.ts'

/**
 * The application's needs and the properties of the network. The client adds its own capabilities. All fields are
 * optional.
 */
export type Needs = Omit<GuideNeeds, 'webSocket' | 'streams' | 'headers'>

/** A chosen transport, with reasons and alternatives. */
export interface Choice {
  /** The transport to try first. */
  transport: Transport
  /** The reasons, a sentence each. */
  because: string[]
  /** The transports to try instead, in order. */
  fallback: Transport[]
}

/**
 * Chooses a transport for this process or page.
 * @param webSocket whether a WebSocket constructor is available
 */
export function choose(needs: Needs, webSocket: boolean): Choice {
  const page = 'document' in globalThis
  // Node's types do not know this entry type.
  const [navigation] = (page ? performance.getEntriesByType('navigation' as never) : []) as {
    nextHopProtocol?: string
  }[]
  const multiplexed = /^h[23]/.test(navigation?.nextHopProtocol ?? '')
  const { transport, because, fallback } = applyRules({
    webSocket,
    streams: typeof ReadableStream !== 'undefined',
    connections: page && !multiplexed ? 6 : undefined,
    ...needs,
  })
  return { transport, because: because.map(({ text }) => text), fallback }
}
