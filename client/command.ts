/** Sends commands by POST, safe to retry. PROTOCOL.md, "Commands". */
import type { z } from 'zod'
import type { SessionCommand } from '../src/protocol/commands.ts'
import type { ControlOf } from '../src/protocol/controls.ts'
import { type Backoff, backoffMs, sleep } from './backoff.ts'
import { ClientError, errorOfResponse } from './errors.ts'
import { LinkedAbortController } from './linked-abort.ts'
import { endpoint, expectType } from './rail.ts'
import type { SharedSocket } from './sockets.ts'
import { ANSWER_MS, Watchdog } from './watchdog.ts'

type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never

/** A command as an application writes it: the ids that pair and protect it are made here. */
export type CommandBody = Without<z.input<typeof SessionCommand>, 'id' | 'sessionId'>

export interface SendOptions {
  url: string
  sessionId: string
  command: CommandBody
  /** How often it is sent at the most, while the way to the server fails. @default 5 */
  attempts?: number | undefined
  signal?: AbortSignal | undefined
  headers?: Record<string, string> | undefined
  /** @default the global one */
  fetch?: typeof fetch | undefined
  backoff?: Partial<Backoff> | undefined
  /** Gives a WebSocket to send it over, if there is one; asked before each attempt. @default POST */
  socket?: (() => SharedSocket | undefined) | undefined
}

/**
 * Sends one command and gives back its `ack`. Every attempt carries the same `key`, and a `run.start` the same
 * `runId`: a command whose answer was lost takes effect once, and a prompt never starts two runs.
 * @throws ClientError the server's refusal, or the last attempt's failure
 */
export async function sendCommand(options: SendOptions): Promise<ControlOf<'ack'>> {
  const { sessionId, attempts = 5 } = options
  const command: CommandBody & { id: string; sessionId: string } = {
    id: newId(),
    key: newId(),
    ...options.command,
    sessionId,
  }
  if (command.type === 'run.start') command.runId ??= newId()
  const body = JSON.stringify(command)

  const stop = new LinkedAbortController(options.signal)
  const { signal } = stop
  try {
    for (let failures = 0; ; failures += 1) {
      try {
        const socket = options.socket?.()
        if (!socket) return await post({ ...options, signal }, body)
        return await unlessAborted(socket.command(command), signal)
      } catch (error) {
        signal.throwIfAborted()
        if (!(error instanceof ClientError && error.retryable) || failures + 1 >= attempts) throw error
        await sleep(backoffMs(failures, error.retryAfterMs ?? 0, options.backoff), signal)
      }
    }
  } finally {
    stop.abort()
  }
}

async function post({ url, sessionId, signal, headers, ...options }: SendOptions, body: string) {
  const watchdog = new Watchdog(undefined)
  const connection = new LinkedAbortController(signal)
  const send = options.fetch ?? globalThis.fetch
  try {
    const response = await watchdog.wait(
      send(endpoint(url, `sessions/${encodeURIComponent(sessionId)}/commands`), {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body,
        signal: connection.signal,
      }),
      ANSWER_MS,
    )
    if (!response.ok) throw await watchdog.wait(errorOfResponse(response))
    expectType(response, 'application/json')
    return (await watchdog.wait(response.json())) as ControlOf<'ack'>
  } finally {
    connection.abort()
  }
}

/** Settles as `promise` does, or rejects with the signal's reason as soon as that aborts. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    promise.then(resolve, reject)
    if (signal.aborted) return reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

/** A new id of 128 random bits; `crypto.randomUUID` is missing in pages that came over plain HTTP. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')
}
