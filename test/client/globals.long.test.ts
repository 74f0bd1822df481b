/** The client where a global is missing: it works without the optional ones, and names the others. */
import { createContext, runInContext } from 'node:vm'
import { build } from 'esbuild'
import t from 'tap'
import { WebSocket } from 'ws'
import { stage } from './stage.ts'

const client = new URL('../../client/', import.meta.url).pathname

const { outputFiles } = await build({
  stdin: {
    contents:
      "export * from './index.ts'; export * from './view/index.ts'; export { sharedTabs } from './shared/index.ts'",
    resolveDir: client,
    loader: 'ts',
  },
  bundle: true,
  format: 'iife',
  globalName: 'twinrail',
  target: 'es2022',
  write: false,
})
const code = outputFiles[0]!.text

/** Everything that the client may use of its runtime, beside the language. */
const everything = () => ({
  fetch,
  URL,
  URLSearchParams,
  AbortController,
  AbortSignal,
  TextDecoder,
  TextEncoder,
  ReadableStream,
  WebSocket,
  BroadcastChannel,
  MessageChannel,
  structuredClone,
  performance,
  DOMException,
  setTimeout,
  clearTimeout,
  setInterval,
  clearInterval,
  queueMicrotask,
  console,
  crypto: {
    getRandomValues: crypto.getRandomValues.bind(crypto),
    randomUUID: crypto.randomUUID.bind(crypto),
  },
  navigator: { onLine: true },
})
type Globals = ReturnType<typeof everything>

/** A run that is followed by events, by text and by the view, and cancelled; then the client is closed. */
const program = `(async () => {
  const { createClient, sessionStore, sharedTabs } = twinrail
  const connect = shares ? sharedTabs({ share: 'x' }) : undefined
  const client = createClient({ url, transport, connect })
  const session = client.session()
  const store = sessionStore(client, session.id)
  const leave = store.subscribe(() => {})
  const run = session.run('playback', { count: 20, rate: 0 })
  let text = ''
  for await (const delta of run.text) text += delta
  const types = []
  for await (const { type } of run.events) types.push(type)
  const stopped = session.run('playback', { count: 1000, rate: 10 })
  await stopped.started
  await stopped.cancel()
  const { type } = await stopped.done
  await new Promise(resolve => {
    const look = () => store.getSnapshot().runs.length === 2 && !store.getSnapshot().isLoading && resolve()
    store.subscribe(look)
    look()
  })
  const shown = store.getSnapshot().messages[1].text
  leave()
  client.close()
  return JSON.stringify({ same: text === shown && text.length > 50, last: types.findLast(type => type.includes('.')), type, used: client.quality.current.transport })
})()`

async function run(url: string, globals: object, transport = 'auto', shares = false): Promise<unknown> {
  const context = createContext({ ...globals, url, transport, shares })
  runInContext(code, context)
  return JSON.parse(await runInContext(program, context))
}

const done = { same: true, last: 'run.completed', type: 'run.cancelled' }

t.test('without an optional global the client works', async t => {
  const url = await stage(t)
  t.match(await run(url, everything()), { ...done, used: 'sse' })
  const without: { [missing: string]: (globals: Globals) => object } = {
    BroadcastChannel: ({ BroadcastChannel: _, ...rest }) => rest,
    MessageChannel: ({ MessageChannel: _, ...rest }) => rest,
    structuredClone: ({ structuredClone: _, ...rest }) => rest,
    performance: ({ performance: _, ...rest }) => rest,
    DOMException: ({ DOMException: _, ...rest }) => rest,
    navigator: ({ navigator: _, ...rest }) => rest,
    URLSearchParams: ({ URLSearchParams: _, ...rest }) => rest,
    'crypto.randomUUID': ({ crypto: { getRandomValues }, ...rest }) => ({
      ...rest,
      crypto: { getRandomValues },
    }),
    'AbortSignal.any and .timeout': globals => ({
      ...globals,
      AbortSignal: { prototype: AbortSignal.prototype },
    }),
  }
  for (const [name, take] of Object.entries(without))
    t.match(await run(url, take(everything())), { ...done, used: 'sse' }, name)
  const { WebSocket: _, ...withoutSockets } = everything()
  t.match(await run(url, withoutSockets), { ...done, used: 'sse' }, 'WebSocket')
  const { ReadableStream: __, ...withoutStreams } = everything()
  t.match(await run(url, withoutStreams), { ...done, used: 'websocket' }, 'ReadableStream')
  t.match(await run(url, { ...withoutStreams, WebSocket: undefined }), { ...done, used: 'long-poll' }, 'both')
  t.match(await run(url, everything(), 'sse', true), done, 'tabs share nothing without Web Locks')
})

t.test('without one that it needs, the client refuses and names it', async t => {
  const url = await stage(t)
  const all = everything()
  const { throwIfAborted: _, ...signal } = Object.getOwnPropertyDescriptors(AbortSignal.prototype)
  const broken: { [named: string]: object } = {
    fetch: { ...all, fetch: undefined },
    'crypto.getRandomValues': { ...all, crypto: undefined },
    'AbortSignal.prototype.throwIfAborted': {
      ...all,
      AbortSignal: { prototype: Object.defineProperties({}, signal) },
    },
    TextDecoder: { ...all, TextDecoder: undefined },
  }
  for (const [name, globals] of Object.entries(broken)) {
    await t.rejects(run(url, globals), { message: new RegExp(`lacks ${name}:`) }, name)
  }
  const bare = { ...all, fetch: undefined, crypto: undefined }
  await t.rejects(run(url, bare), { message: /lacks fetch, crypto\.getRandomValues:/ }, 'all at once')
  const unstreamed: typeof fetch = async (...args) => {
    const response = await fetch(...args)
    return Object.defineProperty(response, 'body', { value: null })
  }
  await t.rejects(
    run(url, { ...all, fetch: unstreamed }, 'sse'),
    { message: /This fetch has no streams: use another transport/ },
    'streams of fetch, where SSE was asked for',
  )
})
