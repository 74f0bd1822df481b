/** Clients by others, unmodified, each following a run to its end as its own documentation shows. */
import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type FetchEventSourceInit, fetchEventSource } from '@microsoft/fetch-event-source'
import { EventSource } from 'eventsource'
import { createEventSource } from 'eventsource-client'
import { WebSocket as PartySocket } from 'partysocket'
import reconnecting from 'reconnecting-websocket'
import { WebSocket } from 'ws'

export interface Followed {
  /** The address of the server or of a proxy before it. */
  readonly url: string
  readonly sessionId: string
  readonly runId: string
  /** Ends the client before the run has ended. */
  readonly signal: AbortSignal
}

/** Resolves with the JSON texts of the run's events, as the client got them. */
export type Follow = (followed: Followed) => Promise<string[]>

const isLast = (json: string) => json.includes('"type":"run.completed"')

const streamUrl = ({ url, sessionId, runId }: Followed) =>
  `${url}/v1/sessions/${sessionId}/events?run=${runId}&replay=full`

const eventsource: Follow = followed =>
  new Promise(resolve => {
    const seen: string[] = []
    const source = new EventSource(streamUrl(followed))
    followed.signal.addEventListener('abort', () => source.close())
    source.onmessage = ({ data }) => {
      seen.push(data)
      if (!isLast(data)) return
      source.close()
      resolve(seen)
    }
  })

const eventsourceClient: Follow = async followed => {
  const seen: string[] = []
  const source = createEventSource({ url: streamUrl(followed) })
  followed.signal.addEventListener('abort', () => source.close())
  for await (const { data, event } of source) {
    // Control messages have a name.
    if (event !== undefined) continue
    seen.push(data)
    if (isLast(data)) break
  }
  source.close()
  return seen
}

const [, documented = ''] =
  /```js\n(let last = ''\nawait fetchEventSource[^`]+)```/.exec(
    readFileSync(new URL('../../PROTOCOL.md', import.meta.url), 'utf8'),
  ) ?? []

/** Runs PROTOCOL.md's code with another function in the place of `fetchEventSource`. */
const runDocumented = new Function('fetchEventSource', `return (async url => {${documented}})()`) as (
  call: (url: unknown, options: Pick<FetchEventSourceInit, 'fetch' | 'onmessage'>) => Promise<void>,
) => Promise<void>

/** @param asDocumented adds the options of PROTOCOL.md, with which it loses nothing */
const microsoft =
  (asDocumented: boolean): Follow =>
  async followed => {
    // The package is for pages.
    Object.assign(globalThis, { window: globalThis, document: { removeEventListener() {} } })
    const seen: string[] = []
    const ended = new AbortController()
    followed.signal.addEventListener('abort', () => ended.abort())
    const follow = (options: Pick<FetchEventSourceInit, 'fetch' | 'onmessage'> = {}) =>
      fetchEventSource(streamUrl(followed), {
        openWhenHidden: true,
        fetch,
        ...options,
        signal: ended.signal,
        onmessage(message) {
          options.onmessage?.(message)
          // Control messages have a name.
          if (message.event !== '') return
          seen.push(message.data)
          if (isLast(message.data)) ended.abort()
        },
        onclose() {
          throw new Error('the stream ended before the run')
        },
      })
    if (asDocumented) await runDocumented((_url, options) => follow(options))
    else await follow()
    return seen
  }

/** The part that WebSockets which reconnect have in common: they subscribe again whenever they are open. */
function followSocket(socket: PartySocket, followed: Followed): Promise<string[]> {
  const { sessionId, runId, signal } = followed
  signal.addEventListener('abort', () => socket.close())
  const seen: string[] = []
  let after: string | undefined
  socket.addEventListener('open', () => {
    socket.send(JSON.stringify({ id: '1', type: 'subscribe', sessionId, run: runId, replay: 'full', after }))
  })
  return new Promise(resolve => {
    socket.addEventListener('message', ({ data }: { data: unknown }) => {
      for (const text of String(data).split('\n')) {
        const { type, offset } = JSON.parse(text) as { type: string; offset?: string }
        if (offset === undefined || !type.includes('.')) continue
        seen.push(text)
        after = offset
        if (!isLast(text)) continue
        socket.close()
        resolve(seen)
      }
    })
  })
}

const socketUrl = ({ url }: Followed) => `${url.replace('http', 'ws')}/v1/ws`

/** What it exports is the class, and not, as its types say, a module. PartySocket began as a copy of it. */
const ReconnectingWebSocket = reconnecting as unknown as typeof PartySocket

const quick = { WebSocket, minReconnectionDelay: 1, maxReconnectionDelay: 20, minUptime: 1 }

const partysocket: Follow = followed =>
  followSocket(new PartySocket(socketUrl(followed), 'twinrail.v1', quick), followed)

const reconnectingWebSocket: Follow = followed =>
  followSocket(new ReconnectingWebSocket(socketUrl(followed), 'twinrail.v1', quick), followed)

const python = (signal: AbortSignal, ...args: string[]): Promise<string[]> =>
  new Promise((resolve, reject) => {
    const script = fileURLToPath(new URL('follow.py', import.meta.url))
    const child = spawn('python3', [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'], signal })
    let text = ''
    child.stdout.setEncoding('utf8').on('data', part => {
      text += part
    })
    child.on('error', reject)
    child.on('close', code => {
      if (code === 0) resolve(text.trimEnd().split('\n'))
      else reject(new Error(`follow.py ended with ${code}`))
    })
  })

const httpxSse: Follow = followed => python(followed.signal, 'httpx-sse', streamUrl(followed))

const websockets: Follow = followed =>
  python(followed.signal, 'websockets', socketUrl(followed), followed.sessionId, followed.runId)

export interface ForeignClient {
  readonly follow: Follow
  readonly transport: 'sse' | 'websocket'
  /** The Python module that it needs. */
  readonly python?: string
  /** It takes an id for received before it hands the event over, so a cut between the two loses the event. */
  readonly takesIdEarly?: boolean
}

export const clients: Readonly<Record<string, ForeignClient>> = {
  eventsource: { follow: eventsource, transport: 'sse' },
  'eventsource-client': { follow: eventsourceClient, transport: 'sse' },
  '@microsoft/fetch-event-source': { follow: microsoft(false), transport: 'sse', takesIdEarly: true },
  '@microsoft/fetch-event-source with PROTOCOL.md’s options': { follow: microsoft(true), transport: 'sse' },
  partysocket: { follow: partysocket, transport: 'websocket' },
  'reconnecting-websocket': { follow: reconnectingWebSocket, transport: 'websocket' },
  'httpx-sse': { follow: httpxSse, transport: 'sse', python: 'httpx_sse' },
  websockets: { follow: websockets, transport: 'websocket', python: 'websockets' },
}

/** Why a client is not tried; `false` when it is. */
export function missing({ python }: Pick<ForeignClient, 'python'>): string | false {
  if (python === undefined) return false
  const { status } = spawnSync('python3', ['-c', `import ${python}`], { stdio: 'ignore' })
  return status === 0 ? false : `python3 has no module ${python}: pip install, and set PYTHONPATH`
}
