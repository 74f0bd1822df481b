/** The child's side of a worker process: answers its parent's calls. */
import { setTimeout as sleep } from 'node:timers/promises'

// biome-ignore lint/suspicious/noExplicitAny: the argument types are checked where a worker is called
export type Handlers = Record<string, (...args: any[]) => unknown>

/** The result of a call. */
export interface Answer {
  id: number
  result?: unknown
  error?: string
}

/** Serves handlers to the parent process; ends when the parent does. */
export function serveWorker(handlers: Handlers): void {
  process.on('disconnect', () => process.exit())
  process.on('message', async ({ id, method, args }: { id: number; method: string; args: unknown[] }) => {
    try {
      const result = await handlers[method]?.(...args)
      process.send?.({ id, result })
    } catch (error) {
      process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    }
  })
}

/** Frees everything that can be freed; the process needs `--expose-gc`. */
export async function collectGarbage(): Promise<void> {
  for (let i = 0; i < 4; i++) {
    globalThis.gc?.()
    await sleep(50)
  }
}
