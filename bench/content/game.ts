/** A game against an AI: connect four, the player's moves up and the AI's answers down, at a fixed tick. */
import { seeded } from '../random.ts'
import { Board, COLUMNS, type Move, ROWS } from './connect-four.ts'
import { type Content, pick } from './content.ts'

/** `data` of `x.move`. */
export interface Moved extends Move {
  readonly game: number
  readonly by: 'player' | 'ai'
  /** From 1 on, in this game. */
  readonly move: number
}

/** Half moves that each side looks ahead. */
const DEPTH = { player: 2, ai: 4 }

/** The player slips so often. */
const SLIPS = 0.2

/**
 * Games one after the other: in each tick the player moves, half a tick later the AI answers. `x.move` with `by: player`
 * is sent by a client, all else by the server; `x.over` ends a game.
 * @param tickMs @default 50
 */
export function* game(seed: number, tickMs = 50): Content {
  const random = seeded(seed)
  for (let atMs = 0, number = 1; ; number++) {
    const board = new Board()
    for (let by: Moved['by'] = 'player', winner: Moved['by'] | 'nobody' | undefined; ; ) {
      const side = by === 'player' ? 1 : 2
      const slips = board.moves < 2 || (by === 'player' && random() < SLIPS)
      const column = slips ? pick(board.legal(), random) : board.best(side, DEPTH[by]).column
      const move = board.play(column, side)
      const data: Moved = { game: number, by, move: board.moves, ...move }
      yield { atMs, type: 'x.move', data: { ...data } }
      if (board.wins(move)) winner = by
      else if (board.moves === COLUMNS * ROWS) winner = 'nobody'
      if (winner) {
        yield { atMs, type: 'x.over', data: { game: number, winner } }
        // The next game begins with a whole tick.
        atMs = Math.round((Math.floor(atMs / tickMs) + 1) * tickMs)
        break
      }
      atMs += tickMs / 2
      by = by === 'player' ? 'ai' : 'player'
    }
  }
}
