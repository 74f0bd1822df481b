/** Cuts clients off and lets them come back from where they left off. */
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { micros } from '../clock.ts'
import type { Client } from './client.ts'

/**
 * Cuts all clients at once; all come back at once, without jitter: the worst case for a server.
 * @returns ms until each was current, rising
 */
export async function storm(clients: readonly Client[], onError: (error: Error) => void): Promise<number[]> {
  const cut = micros()
  for (const client of clients) client.cut()
  const currentMs: number[] = []
  await Promise.all(
    clients.map(async client => {
      await client.open().catch(onError)
      currentMs.push((micros() - cut) / 1000)
    }),
  )
  return currentMs
}

/** Cuts each client every `everyMs`, spread evenly, as phones lose their network; ends after `ms`, when all are back. */
export async function reconnectRegularly(
  clients: readonly Client[],
  everyMs: number,
  ms: number,
  onError: (error: Error) => void,
): Promise<void> {
  const begun = performance.now()
  await Promise.all(
    clients.map(async (client, index) => {
      for (let at = ((index + 0.5) / clients.length) * everyMs; at < ms; at += everyMs) {
        await sleep(Math.max(0, at - (performance.now() - begun)))
        client.cut()
        await client.open().catch(onError)
      }
    }),
  )
}
