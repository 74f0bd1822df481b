/** Sends commands over a WebSocket or by POST, safe to retry. PROTOCOL.md, "Commands". */
import type { z } from 'zod'
import { type Backoff, backoffMs, sleep } from './connection/backoff.ts'
import { LinkedAbortController } from './connection/linked-abort.ts'
import { requestJson } from './connection/request.ts'
import type { SharedSocket } from './connection/shared-socket.ts'
import { ClientError } from './errors.ts'
import type { ControlOf, SessionCommand } from './protocol.ts'

type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never

/** A command without the ids that `sendCommand` adds: `id` pairs it with its answer, `key` makes it take effect once. */
export type CommandBody = Without<z.input<typeof SessionCommand>, 'id' | 'sessionId'>

export interface SendOptions {
  url: string
  sessionId: string
  command: CommandBody
  /** Maximum attempts while the server is unreachable. @default 5 */
  attempts?: number | undefined
  /** Gives up and rejects with the signal's reason; the command may have taken effect. */
  signal?: AbortSignal | undefined
  headers?: Record<string, string> | undefined
  /** @default the global one */
  fetch?: typeof fetch | undefined
  /** The waits between attempts; `attempts` and `stableMs` have no effect. @default 1 s, doubling up to 30 s, with jitter */
  backoff?: Partial<Backoff> | undefined
  /** Returns a WebSocket to send it over, if there is one; called before each attempt. @default POST */
  socket?: (() => SharedSocket | undefined) | undefined
}

/**
 * Sends one command and resolves with its `ack`. Every attempt carries the same `key`, and a `run.start` the same
 * `runId`: a command whose answer was lost takes effect once, and a prompt never starts two runs.
 * @throws ClientError the server's refusal, or the last attempt's failure
 */
export async function sendCommand(options: SendOptions): Promise<ControlOf<'ack'>> {
  const { url, sessionId, headers, attempts = 5, fetch = globalThis.fetch } = options
  const path = `sessions/${encodeURIComponent(sessionId)}/commands`
  const command: CommandBody & { id: string; sessionId: string } = {
    id: newId(),
    key: newId(),
    ...options.command,
    sessionId,
  }
  if (command.type === 'run.start') command.runId ??= newId()

  const stop = new LinkedAbortController(options.signal)
  const { signal } = stop
  try {
    for (let failures = 0; ; failures += 1) {
      try {
        const socket = options.socket?.()
        if (!socket) return await requestJson({ url, headers, fetch, signal }, path, command)
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

/** Settles as `promise` does, or rejects with the signal's reason as soon as that aborts. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    promise.then(resolve, reject)
    if (signal.aborted) return reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

/** A new id of 128 random bits. `crypto.randomUUID` is missing in pages that were loaded over plain HTTP. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')
}
