/** What the page makes of the session's events: the newest table, and what was said about it. */
import type { TypedEvent } from 'twinrail-client'
import { emptyTable, reduce as reduceTable, type schemas, type Table } from '../table.ts'

type Event = TypedEvent<typeof schemas>

export interface GameState {
  /** How many tables this session has had. */
  tables: number
  runId: string | undefined
  /** Why the newest table is closed; `undefined` while it is open. */
  closed: string | undefined
  table: Table
  /** The newest refusal: to whom, and why. `number` tells two alike apart. */
  refusal: { to: string; reason: string; number: number } | undefined
  /** How far the computer has looked ahead. */
  thinking: { depth: number; positions: number; column: number } | undefined
  /** The column that a player points at. */
  hover: { by: string | undefined; column: number | null } | undefined
}

export const initial: GameState = {
  tables: 0,
  runId: undefined,
  closed: undefined,
  table: emptyTable,
  refusal: undefined,
  thinking: undefined,
  hover: undefined,
}

export function reduce(state: GameState, event: Event): GameState {
  switch (event.type) {
    case 'run.started':
      return { ...initial, tables: state.tables + 1, runId: event.runId }
    case 'run.completed':
    case 'run.failed':
    case 'run.cancelled': {
      if (event.runId !== state.runId) return state
      const reason = event.type === 'run.cancelled' && event.data.reason === 'no-viewers'
      return { ...state, closed: reason ? 'everybody had left' : 'the server closed it', thinking: undefined }
    }
    case 'x.game.hover':
      return { ...state, hover: { by: event.by, column: event.data.column } }
    case 'x.game.thinking':
      return isOfAgent(event, state) || event.by === 'server' ? { ...state, thinking: event.data } : state
    case 'x.game.refused': {
      if (!isOfAgent(event, state)) return state
      const { to, reason } = event.data
      return { ...state, refusal: { to, reason, number: (state.refusal?.number ?? 0) + 1 } }
    }
    case 'x.game.seated':
    case 'x.game.started':
    case 'x.game.move':
    case 'x.game.over':
      if (!isOfAgent(event, state)) return state
      return {
        ...state,
        table: reduceTable(state.table, event),
        thinking: undefined,
        hover: undefined,
        refusal: undefined,
      }
    default:
      return state
  }
}

/** Anybody may publish events of these types. Those of the agent belong to its run and are by nobody. */
function isOfAgent({ runId, by }: { runId?: string; by?: string }, state: GameState): boolean {
  return runId === state.runId && by === undefined
}
