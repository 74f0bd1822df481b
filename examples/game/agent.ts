/** The agent that runs a table: a run is a table, and its log is all that is known of the games. */
import { setImmediate, setTimeout } from 'node:timers/promises'
import { defineAgent, type EventBody, type RunContext, type TwinrailEvent } from 'twinrail'
import { z } from 'zod'
import type { Colour } from './rules.ts'
import { levels, Search } from './search.ts'
import {
  decide,
  emptyTable,
  moved,
  parseRequest,
  reduce,
  type Table,
  type TableEvent,
  turnOf,
} from './table.ts'

/** The table decides and the computer moves in steps of this length, in ms. */
export const TICK_MS = 50

/** How much the computer thinks in one tick: so many slices, with a turn of the event loop after each. */
const SLICES = 5
const SLICE_POSITIONS = 4000

/** Ticks from one report of the computer's thinking to the next. */
const THINKING_TICKS = 4

/** Sends an ephemeral event to all who watch the session. */
export type Show = (sessionId: string, event: TableEvent) => void

export function tableAgent(show: Show) {
  return defineAgent({
    name: 'table',
    description:
      'A table for connect four. It seats players, checks their moves, and plays for the computer.',
    input: z.object({}),
    run: (_, context) => play(emptyTable, context, show),
    // After a crash of its server, another one goes on with the table as the log has it.
    resume: (history, _, context) => play(history.map(tableEvent).reduce(reduce, emptyTable), context, show),
  })
}

/** The agent wrote the events of its run itself, but for those of other types, which `reduce` passes over. */
const tableEvent = ({ type, data }: TwinrailEvent) => ({ type, data }) as TableEvent

async function* play(table: Table, context: RunContext, show: Show): AsyncGenerator<EventBody, void, void> {
  const { sessionId, signal, steering } = context
  let thinking: { search: Search; ticks: number } | undefined
  for (let due = performance.now(); !signal.aborted; ) {
    due = Math.max(due + TICK_MS, performance.now())
    await setTimeout(due - performance.now(), undefined, { signal })

    const events: TableEvent[] = []
    const add = (more: readonly TableEvent[]) => {
      events.push(...more)
      table = more.reduce(reduce, table)
    }
    for (const { text, by = '' } of await steering.take()) {
      const request = parseRequest(text)
      const granted = request
        ? decide(table, request, by)
        : `expected "drop 1" to "drop 7", "sit red <name>", "computer yellow strong", "stand" or "rematch"`
      if (typeof granted !== 'string') add(granted)
      else add([{ type: 'x.game.refused', data: { to: by, request: text.slice(0, 80), reason: granted } }])
    }

    const seat = turnOf(table)
    const player = seat && table.seats[seat]
    if (seat && player?.kind === 'computer') {
      thinking ??= { search: new Search(table.first, table.moves, levels[player.level]), ticks: 0 }
      if (await think(thinking.search, signal)) {
        const { column } = thinking.search
        add(moved(table, column) as TableEvent[])
        thinking = undefined
      } else if (thinking.ticks++ % THINKING_TICKS === 0) showThinking(seat, thinking.search)
    } else thinking = undefined // the player stood up

    yield* events
  }

  function showThinking(seat: Colour, { depth, positions, column }: Search): void {
    show(sessionId, { type: 'x.game.thinking', data: { seat, depth, positions, column } })
  }
}

/** Searches for one tick. Resolves with whether the search is done. */
async function think(search: Search, signal: AbortSignal): Promise<boolean> {
  for (let slice = 0; slice < SLICES && !search.isDone && !signal.aborted; slice++) {
    search.advance(SLICE_POSITIONS)
    await setImmediate()
  }
  return search.isDone
}
