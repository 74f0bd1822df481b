/** Executes runs in a server of this process. */
import type { WholeServer } from '../package/server.ts'

/** Called with each event of a run when it has arrived in its session. */
type OnEvent = (event: { readonly type: string; readonly data: unknown }) => void

/** Makes a function that executes one run in a new session, and resolves with the data of its terminal event. */
export function executor(server: WholeServer) {
  let sessions = 0
  return async (
    agent: string,
    input: object,
    onEvent: OnEvent = () => {},
  ): Promise<Record<string, unknown>> => {
    const sessionId = `s${sessions++}`
    await server.sessions.create(sessionId)
    let done: (data: Record<string, unknown>) => void = () => {}
    const ended = new Promise<Record<string, unknown>>(resolve => {
      done = resolve
    })
    const listening = await server.bus.listen(sessionId, {
      event({ type, event }) {
        onEvent(event)
        if (type === 'run.completed' || type === 'run.failed') done(event.data as Record<string, unknown>)
      },
      deleted() {},
      lost() {},
    })
    const command = { type: 'run.start', id: '1', sessionId, agent, input, onNoViewers: 'continue' } as const
    await server.sessions.execute(command, { id: 'bench' })
    const data = await ended
    listening.stop()
    return data
  }
}
