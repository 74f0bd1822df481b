/** Idle clients, in a process of their own with a source address of their own. */
import { serveWorker } from '../serve.ts'
import { IdleClient, type IdleClientOptions } from './idle-client.ts'

/** Connections that are opened at a time. */
const OPENING = 50

/** Longest wait until all are current, in ms. Generous: a slow machine must not look like a broken server. */
const CURRENT_MS = 180_000

export type IdleLoadHandlers = typeof handlers

/** What the clients of a process have. */
export interface IdleSeen {
  readonly current: number
  readonly faults: number
  readonly refused: number
  /** Events of the client that has the fewest, and of the one with the most. */
  readonly events: readonly [number, number]
}

/** When each client became current again, and when it had begun to come back: µs on the machine's clock. */
export interface Returned {
  readonly currentAt: Float64Array
  readonly returnedAt: Float64Array
}

const clients: IdleClient[] = []
let common: Omit<IdleClientOptions, 'sessionId' | 'onCurrent'>
let sessions: readonly string[] = []
let current = 0
let whenAll: { count: number; resolve(): void } | undefined

function onCurrent(): void {
  current++
  if (whenAll && current >= whenAll.count) whenAll.resolve()
}

/** Resolves once so many clients have become current since the count began; rejects when it takes too long. */
function haveBecomeCurrent(count: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      const waiting = clients.filter(({ currentAt }) => currentAt === 0).map(({ waitsFor }) => waitsFor)
      const reasons = [...new Set(waiting)].map(
        reason => `${waiting.filter(other => other === reason).length} wait for ${reason}`,
      )
      const { wire } = common
      reject(new Error(`${wire}: only ${current} of ${count} clients became current; ${reasons.join(', ')}`))
    }, CURRENT_MS)
    const done = () => {
      clearTimeout(late)
      whenAll = undefined
      resolve()
    }
    whenAll = { count, resolve: done }
    if (current >= count) done()
  })
}

const handlers = {
  begin(options: typeof common, ids: readonly string[]): void {
    common = options
    sessions = ids
  },

  /** Opens connections until there are `count`, some at a time; resolves when all are current. */
  async grow(count: number): Promise<void> {
    while (clients.length < count) {
      const wanted = Math.min(OPENING, count - clients.length)
      current = 0
      for (let i = 0; i < wanted; i++) {
        const sessionId = sessions[clients.length % sessions.length] as string
        const client = new IdleClient({ ...common, sessionId, onCurrent })
        clients.push(client)
        client.open()
      }
      await haveBecomeCurrent(wanted)
    }
    current = 0
  },

  /** Resolves once all have lost their connections and are current again. Called before the server stops. */
  async returned(): Promise<Returned> {
    await haveBecomeCurrent(clients.length)
    return {
      currentAt: Float64Array.from(clients, ({ currentAt }) => currentAt),
      returnedAt: Float64Array.from(clients, ({ returnedAt }) => returnedAt),
    }
  },

  seen(): IdleSeen {
    const events = clients.map(({ events }) => events)
    return {
      current: clients.filter(({ currentAt }) => currentAt > 0).length,
      faults: clients.reduce((sum, { faults }) => sum + faults, 0),
      refused: clients.reduce((sum, { refused }) => sum + refused, 0),
      events: [Math.min(...events), Math.max(...events)],
    }
  },
}

serveWorker(handlers)
