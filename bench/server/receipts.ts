/** How the load tells the measured process that a turn has arrived everywhere. */
import { createServer } from 'node:net'
import { listen } from '../peers/peer.ts'

/** A turn that takes longer than this has lost something, in ms. */
const LOST_AFTER_MS = 10_000

/**
 * Listens for the load's receipts: one byte, the variant's index, once every subscriber has the whole turn. A bare
 * socket, since an IPC message would cost the measured process more than a bare one does; it is the same for all variants.
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
