/** Streams that stand for a terminal or a pipe, and a server that runs one scripted agent. */
import { PassThrough } from 'node:stream'
import type { Test } from 'tap'
import { deltas, type Fake, fakeServer } from '../client/fake.ts'

export type Stream = PassThrough & { isTTY: boolean; columns: number; rows: number; text: string }

export function stream(isTTY = false): Stream {
  const made = Object.assign(new PassThrough(), { isTTY, columns: 80, rows: 24, text: '' })
  made.on('data', chunk => {
    made.text += chunk
  })
  return made
}

/** Resolves once `stream` has shown `part`. */
export async function shown(stream: Stream, part: string): Promise<void> {
  while (!stream.text.includes(part)) await new Promise(resolve => stream.once('data', resolve))
}

export interface Stage {
  fake: Fake
  /** Commands that came, oldest first. */
  commands: Record<string, unknown>[]
  stdout: Stream
  stderr: Stream
  stdin: Stream
  stop: AbortController
  options: {
    url: string
    transport: 'sse'
    json: boolean
    stdout: Stream
    stderr: Stream
    stdin: Stream
    signal: AbortSignal
    env: Record<string, string>
    interrupt: () => void
  }
}

type Body = Record<string, unknown>

export interface StageOptions {
  /** Bodies of the events of the run. */
  events?: Body[]
  /** Whether the run's stream stays open after them. */
  open?: boolean
  tty?: boolean
  /** Answers a command other than with an `ack`. */
  answer?: (command: Body, fake: Fake) => { status: number; body: Body } | undefined
}

const agents = [
  {
    name: 'deepsearch',
    description: 'Searches',
    input: { type: 'object', properties: { query: { type: 'string' } } },
  },
  {
    name: 'playback',
    description: 'Plays',
    input: { type: 'object', properties: { count: { type: 'number' } } },
  },
]

export async function stage(t: Test, options: StageOptions = {}): Promise<Stage> {
  const commands: Body[] = []
  const events = (options.events ?? []).map((body, i) => ({
    ...deltas(1, i + 1)[0],
    time: 1000 * i,
    ...body,
  }))
  const fake = await fakeServer(t, {
    events,
    ends: !options.open,
    handle: (request, response, body) => {
      const reply = (status: number, value: unknown) => {
        response.writeHead(status, { 'content-type': 'application/json' })
        response.end(JSON.stringify(value))
      }
      if (request.url === '/v1/agents') return reply(200, { agents })
      const command = JSON.parse(body)
      commands.push(command)
      const refusal = options.answer?.(command, fake)
      if (refusal) return reply(refusal.status, refusal.body)
      reply(200, { type: 'ack', id: command.id, offset: '7-1' })
    },
  })
  const stop = new AbortController()
  const [stdout, stderr, stdin] = [stream(options.tty), stream(options.tty), stream(options.tty)]
  const interrupt = () => stop.abort()
  const { signal } = stop
  const shared = {
    url: fake.url,
    transport: 'sse' as const,
    json: false,
    stdout,
    stderr,
    stdin,
    signal,
    env: {},
    interrupt,
  }
  return { fake, commands, stdout, stderr, stdin, stop, options: shared }
}
