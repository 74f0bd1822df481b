/** The real server, and workers of `twinrail-client/worker` that are stopped with the test. */
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { createWorker, type Worker, type WorkerOptions } from '../../client/worker/index.ts'

/** Starts a worker that is ready. */
export async function work(
  t: Test,
  url: string,
  options: Partial<WorkerOptions> & Pick<WorkerOptions, 'agents'>,
): Promise<Worker> {
  const worker = createWorker({
    url,
    WebSocket,
    backoff: { baseMs: 5, capMs: 50 },
    onError: () => {},
    ...options,
  })
  t.teardown(() => worker.stop({ graceMs: 0 }))
  await worker.ready
  return worker
}
