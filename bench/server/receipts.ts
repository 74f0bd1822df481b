/** How the load reports to the measured process that a turn has arrived everywhere. */
import { createServer } from 'node:net'
import { listen } from '../peers/peer.ts'

/** A turn that takes longer than this has lost an event, in ms. Generous: a slow machine must not look like a broken server. */
const LOST_AFTER_MS = 60_000

/**
 * Listens for the load's receipts: one byte, the variant's index, once every subscriber has the complete turn. It is a bare
 * socket, since that costs the measured process less than IPC; the cost is the same for all variants.
 */
export async function receipts(): Promise<{
  port: number
  next(variant: number, name: string): Promise<void>
}> {
  const waiting = new Map<number, () => void>()
  const server = createServer(socket => {
    socket.setNoDelay(true)
    socket.on('data', bytes => {
      for (const variant of bytes) {
        waiting.get(variant)?.()
        waiting.delete(variant)
      }
    })
    socket.on('error', () => socket.destroy())
  })
  return {
    port: await listen(server),
    next(variant, name) {
      return new Promise((resolve, reject) => {
        const lost = setTimeout(
          reject,
          LOST_AFTER_MS,
          new Error(`a turn of ${name} did not reach every subscriber`),
        )
        waiting.set(variant, () => {
          clearTimeout(lost)
          resolve()
        })
      })
    },
  }
}
