/** The WebSocket rail: a lane of a socket that other sessions share. */
import type { Rail } from './rail.ts'

export const websocket: Rail = async function* (request) {
  const lane = request.sockets.subscribe(request)
  let broken = false
  try {
    for (;;) {
      const message = await lane.next()
      yield message
      lane.consumed(message)
    }
  } catch (error) {
    broken = true
    throw error
  } finally {
    lane.leave(broken)
  }
}
