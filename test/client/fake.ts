/** A scripted server: speaks the protocol of PROTOCOL.md from a list of events, and fails as each connection's plan says. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'

export const EPOCH = 7
export const offsetOf = (seq: number, epoch = EPOCH) => `${epoch}-${seq}`

/** What one connection does instead of serving; connections without a plan serve all there is. */
export interface Plan {
  /** Answer with this status (WebSocket: close with this code after the upgrade). */
  refuse?: { status: number; body?: unknown; headers?: Record<string, string>; close?: number }
  /** Destroy the connection after so many events. */
  cutAfter?: number
  /** Say nothing more after so many events, and keep the connection open. */
  silentAfter?: number
  /** Start so many events before the cursor. */
  back?: number
  /** Leave out the first event. */
  hole?: boolean
  /** Send `closing` after so many events. */
  closing?: { after: number; code: string; retryAfterMs?: number }
  /** Send this reset after `subscribed`. */
  reset?: { reason: string; head: string }
  /** WebSocket: send these before the ack of the `subscribe`, as what an earlier subscription still had on its way. */
  beforeAck?: Record<string, unknown>[]
}

export interface Fake {
  url: string
  events: Record<string, unknown>[]
  /** What the connections do, in order. */
  plans: Plan[]
  /** The cursor that each connection came with. */
  cursors: (string | undefined)[]
  /** What clients sent over WebSockets. */
  commands: Record<string, unknown>[]
  requests: IncomingMessage[]
  /** Sends an event to the SSE streams that are open, and keeps it. */
  say(event: Record<string, unknown>): void
}

export interface FakeOptions {
  events: Record<string, unknown>[]
  plans?: Plan[]
  /** Whether the stream ends after its events. @default true */
  ends?: boolean
  retryMs?: number
  heartbeatMs?: number
  /** Takes requests that are not for events. */
  handle?: (request: IncomingMessage, response: ServerResponse, body: string) => void
}

interface Teardown {
  teardown(fn: () => void | Promise<void>): void
}

/** `count` text deltas of the run `r1`. */
export function deltas(count: number, from = 1, epoch = EPOCH): Record<string, unknown>[] {
  return Array.from({ length: count }, (_, i) => ({
    offset: offsetOf(from + i, epoch),
    sessionId: 's1',
    runId: 'r1',
    type: 'text.delta',
    time: 1,
    data: { partId: 'p', delta: `${from + i} ` },
  }))
}

export async function fakeServer(t: Teardown, options: FakeOptions): Promise<Fake> {
  const { plans = [], ends = true, heartbeatMs = 1000, retryMs = 0 } = options
  const streams = new Set<(message: Record<string, unknown>) => void>()
  const fake: Fake = {
    url: '',
    events: options.events,
    plans,
    cursors: [],
    commands: [],
    requests: [],
    say(event) {
      const said = {
        offset: offsetOf(fake.events.length + 1),
        sessionId: 's1',
        runId: 'r1',
        time: 1,
        ...event,
      }
      fake.events.push(said)
      for (const stream of streams) stream(said)
    },
  }
  const sockets = new WebSocketServer({ noServer: true })

  const seqOf = (offset: unknown) => Number(String(offset).split('-')[1])
  const head = () => (fake.events.at(-1)?.['offset'] as string | undefined) ?? offsetOf(0)
  const hello = () => ({
    type: 'hello',
    protocol: 1,
    connectionId: 'c',
    serverTime: Date.now(),
    heartbeatMs,
    limits: { eventBytes: 1, messageBytes: 1, subscriptions: 1 },
  })

  /** What one connection says; ends with the reason it stops. */
  function* speak(after: string | undefined): Generator<Record<string, unknown>, 'cut' | 'silent' | 'over'> {
    const plan = plans[fake.cursors.length] ?? {}
    fake.cursors.push(after)
    const start = after === undefined ? 0 : seqOf(after)
    yield {
      type: 'subscribed',
      sessionId: 's1',
      head: head(),
      earliest: offsetOf(1),
      after: plan.reset ? offsetOf(0, Number(plan.reset.head.split('-')[0])) : (after ?? offsetOf(0)),
      replay: 'compact',
    }
    if (plan.reset) yield { type: 'reset', sessionId: 's1', ...plan.reset }
    const from = plan.reset ? 0 : start - (plan.back ?? 0)
    let sent = 0
    for (const event of fake.events.filter(event => seqOf(event['offset']) > from)) {
      if (sent === plan.cutAfter) return 'cut'
      if (sent === plan.silentAfter) return 'silent'
      if (sent === plan.closing?.after) {
        const { code, retryAfterMs } = plan.closing
        yield {
          type: 'closing',
          code,
          reason: 'said so',
          ...(retryAfterMs !== undefined && { retryAfterMs }),
        }
        return 'over'
      }
      sent += 1
      if (!(plan.hole && sent === 1)) yield event
    }
    if (plan.cutAfter !== undefined && sent >= plan.cutAfter) return 'cut'
    yield { type: 'caught-up', sessionId: 's1', offset: head() }
    if (!ends) return 'silent'
    yield { type: 'end', sessionId: 's1', runId: 'r1', reason: 'run-ended' }
    return 'over'
  }

  function refused(response: ServerResponse): boolean {
    const refuse = plans[fake.cursors.length]?.refuse
    if (!refuse) return false
    fake.cursors.push(undefined)
    response.writeHead(refuse.status, { 'content-type': 'application/json', ...refuse.headers })
    response.end(refuse.body === undefined ? '' : JSON.stringify(refuse.body))
    return true
  }

  function sse(response: ServerResponse, after: string | undefined): void {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
    const write = (message: Record<string, unknown>) => {
      const name = String(message['type']).includes('.')
        ? `id: ${message['offset']}`
        : `event: ${message['type']}`
      response.write(`${name}\ndata: ${JSON.stringify(message)}\n\n`)
      if (/^run\.(completed|failed|cancelled)$/.test(String(message['type'])) && streams.delete(write)) {
        write({ type: 'end', sessionId: 's1', runId: 'r1', reason: 'run-ended' })
        response.end()
      }
    }
    response.write(`retry: ${retryMs}\n\n`)
    write(hello())
    const words = speak(after)
    let word = words.next()
    for (; !word.done; word = words.next()) write(word.value)
    if (word.value === 'over') response.end()
    if (word.value === 'silent') streams.add(write)
    if (word.value === 'cut') setImmediate(() => response.destroy())
  }

  function page(response: ServerResponse, after: string | undefined): void {
    const said: Record<string, unknown>[] = []
    const words = speak(after)
    let word = words.next()
    for (; !word.done; word = words.next()) said.push(word.value)
    if (word.value === 'cut') return void response.destroy()
    const events = said.filter(({ type }) => String(type).includes('.'))
    if (word.value === 'silent' && events.length === 0) return
    const controls = said.filter(({ type }) => ['reset', 'gap', 'end'].includes(String(type)))
    const next = events.at(-1)?.['offset'] ?? after ?? offsetOf(0)
    response.writeHead(200, { 'content-type': 'application/json; charset=utf-8' })
    response.end(
      JSON.stringify({ events, controls, head: head(), earliest: offsetOf(1), next, caughtUp: true }),
    )
  }

  function talk(socket: WebSocket): void {
    const send = (message: Record<string, unknown>) => socket.send(JSON.stringify(message))
    send(hello())
    socket.on('message', data => {
      const command = JSON.parse(String(data))
      fake.commands.push(command)
      if (command.type !== 'subscribe') return
      const refuse = plans[fake.cursors.length]?.refuse
      if (refuse) {
        fake.cursors.push(undefined)
        if (refuse.close) return socket.close(refuse.close, 'refused')
        return send({ type: 'nack', id: command.id, ...(refuse.body as { error: object }).error })
      }
      for (const message of plans[fake.cursors.length]?.beforeAck ?? []) send(message)
      send({ type: 'ack', id: command.id })
      const words = speak(command.after)
      const said: string[] = []
      let word = words.next()
      for (; !word.done; word = words.next()) said.push(JSON.stringify(word.value))
      while (said.length > 0) socket.send(said.splice(0, 3).join('\n'))
      if (word.value === 'cut') setImmediate(() => socket.terminate())
    })
  }

  const server = createServer(async (request, response) => {
    fake.requests.push(request)
    const url = new URL(request.url!, 'http://fake')
    const after = url.searchParams.get('after') ?? undefined
    if (!url.pathname.endsWith('/events')) {
      let body = ''
      for await (const chunk of request) body += chunk
      return options.handle?.(request, response, body)
    }
    if (refused(response)) return
    if (request.headers.accept === 'application/json') page(response, after)
    else sse(response, after)
  })
  server.on('upgrade', (request, socket, headBytes) => {
    fake.requests.push(request)
    sockets.handleUpgrade(request, socket, headBytes, talk)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets.clients) socket.terminate()
    server.closeAllConnections()
    return new Promise<void>(resolve => server.close(() => resolve()))
  })
  fake.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return fake
}
