/** The state of a table, derived from the events of its log. The agent and every page derive it by the same function. */
// As a namespace, of which a page bundles only what it uses.
import * as z from 'zod'
import { Board, CELLS, COLUMNS, type Colour, colours, otherColour } from './rules.ts'
import { type Level, levels } from './search.ts'

const colour = z.enum(colours)
const count = z.number().int().min(1)

const Player = z.discriminatedUnion('kind', [
  /** `id` is the principal that may move. */
  z.object({ kind: z.literal('person'), id: z.string(), name: z.string() }),
  z.object({ kind: z.literal('computer'), level: z.enum(Object.keys(levels) as [Level, ...Level[]]) }),
])
export type Player = z.output<typeof Player>

/** The events of a table. The agent writes all of them but `hover`. */
export const schemas = {
  'x.game.seated': z.object({ seat: colour, player: Player.nullable() }),
  'x.game.started': z.object({ game: count, first: colour }),
  'x.game.move': z.object({
    game: count,
    move: count.max(CELLS),
    seat: colour,
    column: z
      .number()
      .int()
      .min(0)
      .max(COLUMNS - 1),
  }),
  'x.game.over': z.object({ game: count, winner: colour.nullable(), line: z.array(z.number()) }),
  /** A request that the agent refused. `to` is the principal that made it. */
  'x.game.refused': z.object({ to: z.string(), request: z.string(), reason: z.string() }),
  /** Ephemeral: how far the computer has looked ahead. */
  'x.game.thinking': z.object({ seat: colour, depth: z.number(), positions: z.number(), column: z.number() }),
  /** Ephemeral, by a page: the column that its player points at; `null` for none. */
  'x.game.hover': z.object({
    column: z
      .number()
      .int()
      .min(0)
      .max(COLUMNS - 1)
      .nullable(),
  }),
}
type Data = { [T in keyof typeof schemas]: z.output<(typeof schemas)[T]> }

/** An event of a table without what the server adds. */
export type TableEvent = { [T in keyof Data]: { type: T; data: Data[T] } }[keyof Data]

export interface Table {
  readonly seats: Readonly<Record<Colour, Player | null>>
  /** The number of the game, from 1; 0 before the first. */
  readonly game: number
  /** The side that began the game. */
  readonly first: Colour
  /** The columns of the moves so far. */
  readonly moves: readonly number[]
  readonly outcome: { readonly winner: Colour | null; readonly line: readonly number[] } | undefined
  readonly wins: Readonly<Record<Colour | 'nobody', number>>
}

export const emptyTable: Table = {
  seats: { red: null, yellow: null },
  game: 0,
  first: 'red',
  moves: [],
  outcome: undefined,
  wins: { red: 0, yellow: 0, nobody: 0 },
}

/** The side to move; `undefined` when no game is on. */
export function turnOf({ game, first, moves, outcome }: Table): Colour | undefined {
  if (game === 0 || outcome) return undefined
  return moves.length % 2 === 0 ? first : otherColour(first)
}

/** The table after an event. Events that do not change it return the same object. */
export function reduce(table: Table, event: TableEvent): Table {
  switch (event.type) {
    case 'x.game.seated': {
      const { seat, player } = event.data
      // Who sits down begins a new series.
      return { ...table, seats: { ...table.seats, [seat]: player }, wins: emptyTable.wins }
    }
    case 'x.game.started': {
      const { game, first } = event.data
      return { ...table, game, first, moves: [], outcome: undefined }
    }
    case 'x.game.move':
      return { ...table, moves: [...table.moves, event.data.column] }
    case 'x.game.over': {
      const { winner, line } = event.data
      const side = winner ?? 'nobody'
      return { ...table, outcome: { winner, line }, wins: { ...table.wins, [side]: table.wins[side] + 1 } }
    }
    default:
      return table
  }
}

/** What a person may ask of the table, in words: the text of a steering message. */
export type Request =
  | { do: 'sit'; seat: Colour; name: string }
  | { do: 'computer'; seat: Colour; level: Level }
  | { do: 'stand' }
  | { do: 'drop'; column: number }
  | { do: 'rematch' }

/** Reads a request; `undefined` for words that are none. Columns are counted from 1, as people do. */
export function parseRequest(text: string): Request | undefined {
  const [, verb, seat, rest = ''] = /^(sit|computer) (red|yellow) (.{1,40})$/.exec(text) ?? []
  if (verb === 'sit') return { do: 'sit', seat: seat as Colour, name: rest }
  if (verb && rest in levels) return { do: 'computer', seat: seat as Colour, level: rest as Level }
  if (text === 'stand' || text === 'rematch') return { do: text }
  const [, column] = /^drop ([1-7])$/.exec(text) ?? []
  return column ? { do: 'drop', column: Number(column) - 1 } : undefined
}

/** The events by which the table grants a person's request, or the reason why it refuses it. */
export function decide(table: Table, request: Request, person: string): TableEvent[] | string {
  const { seats } = table
  const seatOf = (id: string) =>
    colours.find(seat => seats[seat]?.kind === 'person' && (seats[seat] as { id: string }).id === id)
  const own = seatOf(person)
  const isOn = turnOf(table) !== undefined
  switch (request.do) {
    case 'sit': {
      if (seats[request.seat]?.kind === 'person') return `${request.seat} is taken`
      if (own) return `you play ${own} already`
      if (isOn && seats[request.seat]) return 'the game is not over yet'
      const player = { kind: 'person' as const, id: person, name: request.name }
      return seated(table, request.seat, player)
    }
    case 'computer': {
      if (!own) return 'only a player may invite the computer'
      if (seats[request.seat]) return `${request.seat} is taken`
      return seated(table, request.seat, { kind: 'computer', level: request.level })
    }
    case 'stand': {
      if (!own) return 'you have no seat'
      const events: TableEvent[] = [{ type: 'x.game.seated', data: { seat: own, player: null } }]
      const winner = otherColour(own)
      if (isOn) events.unshift({ type: 'x.game.over', data: { game: table.game, winner, line: [] } })
      // The computer does not wait alone.
      if (seats[winner]?.kind === 'computer') {
        events.push({ type: 'x.game.seated', data: { seat: winner, player: null } })
      }
      return events
    }
    case 'drop': {
      if (!own) return 'only players may move; you watch'
      if (!isOn) return 'no game is on'
      if (turnOf(table) !== own) return 'it is not your turn'
      return moved(table, request.column)
    }
    case 'rematch': {
      if (!own) return 'only a player may ask for a rematch'
      if (!table.outcome) return 'the game is not over yet'
      if (!seats.red || !seats.yellow) return 'a seat is free'
      return [started(table)]
    }
  }
}

/** The events of a move by the side whose turn it is, or the reason why the move is illegal. */
export function moved(table: Table, column: number): TableEvent[] | string {
  const { game, first, moves } = table
  const seat = turnOf(table)!
  const board = Board.after(first, moves)
  if (!board.hasRoom(column)) return `column ${column + 1} is full`
  const cell = board.drop(column, seat === 'red' ? 1 : -1)
  const line = board.lineThrough(cell)
  const events: TableEvent[] = [{ type: 'x.game.move', data: { game, move: moves.length + 1, seat, column } }]
  if (line || board.isFull) {
    const winner = line ? seat : null
    events.push({ type: 'x.game.over', data: { game, winner, line: [...(line ?? [])] } })
  }
  return events
}

/** Somebody sits down; with two players, a game begins. */
function seated(table: Table, seat: Colour, player: Player): TableEvent[] {
  const sits: TableEvent = { type: 'x.game.seated', data: { seat, player } }
  return table.seats[otherColour(seat)] ? [sits, started(table)] : [sits]
}

/** The sides take turns in beginning. */
const started = ({ game, first }: Table): TableEvent => ({
  type: 'x.game.started',
  data: { game: game + 1, first: game === 0 ? 'red' : otherColour(first) },
})
