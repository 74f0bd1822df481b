/** The other side of a worker: a process that answers its parent's calls. */

// biome-ignore lint/suspicious/noExplicitAny: what a worker takes is known where it is called
export type Handlers = Record<string, (...args: any[]) => unknown>

/** What a call comes to. */
export interface Answer {
  id: number
  result?: unknown
  error?: string
}

/** Serves a worker's handlers to its parent; ends the process with it. */
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
