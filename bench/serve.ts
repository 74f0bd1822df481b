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
  // The parent may end while an answer is on its way to it.
  const answer = (message: Answer) => process.send?.(message, undefined, undefined, () => {})
  process.on('message', async ({ id, method, args }: { id: number; method: string; args: unknown[] }) => {
    try {
      const result = await handlers[method]?.(...args)
      answer({ id, result })
    } catch (error) {
      answer({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
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
