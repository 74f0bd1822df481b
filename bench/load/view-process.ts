/** A client that follows answers as a page does, and says what that costs: it parses, orders and shows every event. */
import { performance } from 'node:perf_hooks'
import { WebSocket } from 'ws'
import { createClient, SessionStore } from '../package/client.ts'
import { serveWorker } from '../serve.ts'

export interface Read {
  /** Events that were delivered. */
  events: number
  /** CPU of one event, user and system, in µs. */
  cpuUs: number
  /** From the first request to the end of the answer, in ms. */
  wallMs: number
  /** Characters of the text that is shown. */
  chars: number
}

export type ViewHandlers = typeof handlers

const handlers = {
  /** Reads a session from its beginning until the answer has ended, each event by itself or as a page opens it. */
  async read(
    url: string,
    sessionId: string,
    transport: 'sse' | 'websocket',
    replay: 'full' | 'compact',
  ): Promise<Read> {
    globalThis.gc?.()
    const client = createClient({ url, transport, WebSocket })
    const before = process.cpuUsage()
    const began = performance.now()
    const store = new SessionStore(client.session(sessionId), { replay, lag: 'wait' })
    let events = 0
    store.onEvent(({ type }) => {
      if (type.includes('.')) events++
    })
    await new Promise<void>((resolve, reject) => {
      const look = () => {
        const { run, error } = store.getSnapshot()
        if (error) reject(error)
        else if (run?.terminal) resolve()
      }
      store.subscribe(look)
    })
    const wallMs = performance.now() - began
    const { user, system } = process.cpuUsage(before)
    const chars = store.getSnapshot().messages.at(-1)!.text.length
    store.disconnect()
    client.close()
    return { events, cpuUs: (user + system) / events, wallMs, chars }
  },
}

serveWorker(handlers)
