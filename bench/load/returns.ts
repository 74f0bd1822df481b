/** Lines that are cut, and clients that come back from where they stood. */
import { setTimeout as sleep } from 'node:timers/promises'
import { micros } from '../clock.ts'
import type { Client } from './client.ts'

/**
 * Cuts everybody at once, and everybody comes back at once: no jitter, the worst that a server gets.
 * @returns ms until each was current, in the order of time
 */
export async function storm(
  clients: readonly Client[],
  onTrouble: (error: Error) => void,
): Promise<number[]> {
  const cut = micros()
  for (const client of clients) client.cut()
  const currentMs: number[] = []
  await Promise.all(
    clients.map(async client => {
      await client.open().catch(onTrouble)
      currentMs.push((micros() - cut) / 1000)
    }),
  )
  return currentMs
}

/** Cuts each client every so often, spread evenly, as phones lose their line; ends after `ms`, when all are back. */
export async function comeAndGo(
  clients: readonly Client[],
  everyMs: number,
  ms: number,
  onTrouble: (error: Error) => void,
): Promise<void> {
  const begun = performance.now()
  await Promise.all(
    clients.map(async (client, index) => {
      for (let at = ((index + 0.5) / clients.length) * everyMs; at < ms; at += everyMs) {
        await sleep(Math.max(0, at - (performance.now() - begun)))
        client.cut()
        await client.open().catch(onTrouble)
      }
    }),
  )
}
