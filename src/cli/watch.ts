/** Follows a session and shows its events; shared by `run` and `tail`. */
import { WebSocket } from 'ws'
import {
  type FollowOptions,
  type FollowStatus,
  follow,
  type Message,
  sendCommand,
} from '../../client/index.ts'
import { isTerminal, type TerminalType, type TwinrailEvent } from '../protocol/index.ts'
import { approval, type Question } from './answers.ts'
import { type Input, Questions } from './questions.ts'
import { outcomeOf, Renderer } from './render.ts'
import type { Environment, Output, Screen } from './screen.ts'
import { StatusLine, statusText } from './status-line.ts'
import { duration } from './text.ts'

/** Options of every command that shows events. */
export interface TerminalOptions {
  url: string
  /** Headers of every request, such as a token. @default none */
  headers?: Record<string, string>
  transport: FollowOptions['transport']
  /** Print each event as one line of JSON. */
  json: boolean
  stdout: Output
  stderr: Output
  stdin: Input
  /** Aborts on Ctrl-C. */
  signal: AbortSignal
  /** @default process.env */
  env?: Environment
  /** Called for Ctrl-C at a prompt, where the terminal raises no signal. @default sends this process SIGINT */
  interrupt?: () => void
}

type Terminal = Extract<TwinrailEvent, { type: TerminalType }>
type Control = Extract<Message, { kind: 'control' }>['control']

type Followed = Pick<FollowOptions, 'sessionId' | 'run' | 'after' | 'last' | 'replay'>

/**
 * Shows the events of a subscription until it ends. Resolves with the last terminal event that it brought.
 * @throws ClientError when the server refuses; the reason of `signal` or of `screen.gone` when they abort
 */
export async function watch(
  options: TerminalOptions,
  followed: Followed,
  screen: Screen,
  signal: AbortSignal,
): Promise<Terminal | undefined> {
  const { url, headers = {}, transport, json, stderr, stdin, env = process.env } = options
  const { sessionId } = followed
  const began = Date.now()
  const renderer = new Renderer(screen)
  const statusLine = new StatusLine(stderr, env)
  const questions = new Questions({
    screen,
    stdin,
    interactive: Boolean(stdin.isTTY && stderr.isTTY) && !json,
    answer: (requestId, value) =>
      sendCommand({ url, headers, sessionId, signal, command: { type: 'input.answer', requestId, value } }),
    howToAnswer: question => howToAnswer(url, sessionId, question, 'authorization' in headers),
    interrupt: options.interrupt ?? (() => process.kill(process.pid, 'SIGINT')),
  })
  let outcome: Terminal | undefined
  let events = 0
  let status: FollowStatus | undefined
  const onStatus = (next: FollowStatus) => {
    const waits = next.state === 'waiting' && status?.state !== 'waiting'
    if (waits && !statusLine.shown)
      screen.note(`· ${next.error.message}; reconnecting in ${duration(next.retryInMs)}`)
    status = next
  }

  statusLine.start(() => (status ? statusText(status, events, Date.now() - began) : ''))
  try {
    const until = AbortSignal.any([signal, screen.gone])
    for await (const message of follow({
      url,
      headers,
      transport,
      WebSocket,
      ...followed,
      signal: until,
      onStatus,
    })) {
      if (message.kind === 'control') {
        if (message.control.type === 'caught-up') questions.caughtUp()
        const note = noteOfControl(message.control)
        if (note) screen.note(note, 'yellow')
        continue
      }
      const event = message.event as TwinrailEvent
      events += 1
      questions.observe(event)
      if (json) screen.json(message.json ?? JSON.stringify(event))
      else renderer.show(event)
      questions.ask()
      if (isTerminal(event.type)) outcome = event as Terminal
      await screen.drained()
    }
  } finally {
    questions.close()
    statusLine.stop()
    screen.end()
  }
  if (json && outcome) screen.note(outcomeOf(outcome).text, outcomeOf(outcome).format)
  return outcome
}

function noteOfControl(control: Control): string | undefined {
  switch (control.type) {
    case 'gap':
      return `· the events from ${control.from} to ${control.to} are missing (${control.reason})`
    case 'reset':
      return `· the session’s log was replaced (${control.reason}): starting from its beginning`
    case 'end':
      return control.reason === 'run-ended'
        ? undefined
        : `· the session ended for this client: ${control.reason}`
    default:
      return undefined
  }
}

/** How to answer a question without a prompt. A token is not shown. */
function howToAnswer(
  url: string,
  sessionId: string,
  { requestId, kind, schema }: Question,
  needsToken: boolean,
): string {
  const value = kind === 'approval' ? approval(schema, true) : 'your answer'
  const command = JSON.stringify({ id: '1', type: 'input.answer', requestId, value })
  const server = url.replace(/\/$/, '')
  const token = needsToken ? ' -H "authorization: Bearer $TWINRAIL_TOKEN"' : ''
  return (
    `To answer, open ${server}/#${sessionId}, or send your value with:\n` +
    `  curl ${server}/v1/sessions/${sessionId}/commands${token} -H 'content-type: application/json' -d '${command}'`
  )
}
