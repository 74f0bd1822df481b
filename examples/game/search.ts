/**
 * The computer player: alpha-beta search, one half-move deeper each time, within a budget of positions. It keeps its own
 * stack, so it can stop after any number of positions and go on later: a search never blocks the event loop for long.
 */
import { Board, CELLS, COLUMNS, type Colour, cellAt, discOf, lines, linesOf } from './rules.ts'

/** How far a computer player looks ahead: at most `depth` half-moves, and at most `positions` positions in all. */
export interface Strength {
  readonly depth: number
  readonly positions: number
}

export const levels = {
  easy: { depth: 2, positions: 1000 },
  medium: { depth: 5, positions: 50_000 },
  strong: { depth: 16, positions: 400_000 },
} as const satisfies Record<string, Strength>
export type Level = keyof typeof levels

const WON = 100_000

/** From the middle outwards: moves there tend to be better, and good moves first cut off more of the search. */
const FROM_MIDDLE = [3, 2, 4, 1, 5, 0, 6]

/** The value of a row of four in which one side has this many discs and the other none. */
const LINE_VALUES = [0, 1, 8, 40, 0]

/** A position on the way from the root to the one under examination. */
interface Frame {
  alpha: number
  readonly beta: number
  best: number
  column: number
  /** The index of the next move in the order of moves. */
  next: number
  readonly order: readonly number[]
}

export class Search {
  /** The best column of the deepest complete search so far. */
  column: number
  /** The depth of that search, in half-moves, and its value for the side to move. */
  depth = 0
  value = 0
  /** The number of positions examined so far. */
  positions = 0
  isDone = false
  readonly #board: ValuedBoard
  readonly #disc: number
  readonly #strength: Strength
  readonly #stack: Frame[] = []
  readonly #path: number[] = []

  /** @param columns the moves so far; the game must not be over */
  constructor(first: Colour, columns: readonly number[], strength: Strength) {
    this.#board = new ValuedBoard(first, columns)
    this.#disc = columns.length % 2 === 0 ? discOf(first) : -discOf(first)
    this.#strength = strength
    this.column = FROM_MIDDLE.find(column => this.#board.board.hasRoom(column))!
    this.#begin()
  }

  /** Examines up to this many further positions. Returns whether the search is done. */
  advance(positions: number): boolean {
    const until = Math.min(this.positions + positions, this.#strength.positions)
    while (!this.isDone && this.positions < until) this.#step()
    if (this.positions >= this.#strength.positions) this.isDone = true
    return this.isDone
  }

  #begin(): void {
    // The best move of the last search comes first, which cuts off most of the others.
    const order = [this.column, ...FROM_MIDDLE.filter(column => column !== this.column)]
    this.#stack.push({ alpha: -WON * 2, beta: WON * 2, best: -WON * 2, column: -1, next: 0, order })
  }

  /** Examines the next move of the topmost frame, or returns to the frame below it. */
  #step(): void {
    const frame = this.#stack.at(-1)!
    if (frame.next >= COLUMNS || frame.best >= frame.beta) return this.#return(frame)
    const column = frame.order[frame.next++]!
    const valued = this.#board
    if (!valued.board.hasRoom(column)) return
    const ply = this.#path.length
    const disc = ply % 2 === 0 ? this.#disc : -this.#disc
    const isWon = valued.drop(column, disc)
    this.positions++
    // An early win is worth more than a late one, so it is not put off.
    if (isWon) this.#take(frame, column, WON - ply)
    else if (valued.board.isFull) this.#take(frame, column, 0)
    else if (ply >= this.depth) this.#take(frame, column, disc * valued.value)
    else {
      this.#path.push(column)
      const { alpha, beta } = frame
      const child = { alpha: -beta, beta: -alpha, best: -WON * 2, column: -1, next: 0, order: FROM_MIDDLE }
      this.#stack.push(child)
      return
    }
    valued.undo(column)
  }

  #take(frame: Frame, column: number, value: number): void {
    if (value > frame.best) {
      frame.best = value
      frame.column = column
    }
    if (value > frame.alpha) frame.alpha = value
  }

  #return(frame: Frame): void {
    this.#stack.pop()
    const parent = this.#stack.at(-1)
    if (parent) {
      const column = this.#path.pop()!
      this.#board.undo(column)
      this.#take(parent, column, -frame.best)
      return
    }
    this.column = frame.column
    this.value = frame.best
    this.depth += 1
    const isDecided = Math.abs(this.value) > WON / 2
    const isComplete = this.#board.board.discs + this.depth >= CELLS
    if (isDecided || isComplete || this.depth >= this.#strength.depth) this.isDone = true
    else this.#begin()
  }
}

/**
 * A board that keeps a value: how much better the rows of four are that only red can still complete. A move changes the
 * few rows that its cell is in, so the value costs little.
 */
class ValuedBoard {
  readonly board: Board
  /** Positive when red stands better. */
  value = 0
  /** The numbers of red and of yellow discs in each row of four. */
  readonly #counts = { '1': new Int8Array(lines.length), '-1': new Int8Array(lines.length) }

  constructor(first: Colour, columns: readonly number[]) {
    this.board = new Board()
    let disc = discOf(first)
    for (const column of columns) {
      this.drop(column, disc)
      disc = -disc
    }
  }

  /** Drops a disc. Returns whether it completes a row of four. */
  drop(column: number, disc: number): boolean {
    return this.#count(this.board.drop(column, disc), disc, 1)
  }

  undo(column: number): void {
    const cell = cellAt(column, this.board.heights[column]! - 1)
    this.#count(cell, this.board.cells[cell]!, -1)
    this.board.undo(column)
  }

  #count(cell: number, disc: number, change: 1 | -1): boolean {
    const own = this.#counts[disc === 1 ? '1' : '-1']
    const others = this.#counts[disc === 1 ? '-1' : '1']
    let isComplete = false
    for (const line of linesOf[cell]!) {
      const before = own[line]!
      const after = before + change
      own[line] = after
      if (after === 4) isComplete = true
      if (others[line] === 0) this.value += disc * (LINE_VALUES[after]! - LINE_VALUES[before]!)
      else if (before === 0) this.value += disc * LINE_VALUES[others[line]!]!
      else if (after === 0) this.value -= disc * LINE_VALUES[others[line]!]!
    }
    return isComplete
  }
}
