/** Connect four: seven columns of six, four in a row win. */

export const COLUMNS = 7
export const ROWS = 6

/** Who is on move. */
export type Side = 1 | 2

export interface Move {
  readonly column: number
  /** From the bottom, 0. */
  readonly row: number
}

const DIRECTIONS = [
  [1, 0],
  [0, 1],
  [1, 1],
  [1, -1],
] as const

/** From the middle outwards: what is good there is found first, so more of the rest is cut off. */
const ORDER = [3, 2, 4, 1, 5, 0, 6]

const WON = 1_000_000

export class Board {
  readonly #columns: Side[][] = Array.from({ length: COLUMNS }, () => [])

  get moves(): number {
    return this.#columns.reduce((count, column) => count + column.length, 0)
  }

  /** The columns that have room, from the middle outwards. */
  legal(): number[] {
    return ORDER.filter(column => (this.#columns[column]?.length ?? ROWS) < ROWS)
  }

  /** @throws RangeError when the column is full or none */
  play(column: number, side: Side): Move {
    if (!this.legal().includes(column)) throw new RangeError(`expected a column with room, got ${column}`)
    const stack = this.#columns[column] as Side[]
    stack.push(side)
    return { column, row: stack.length - 1 }
  }

  takeBack(column: number): void {
    this.#columns[column]?.pop()
  }

  /** Whether the stone at this place is in a row of four. */
  wins({ column, row }: Move): boolean {
    const side = this.#at(column, row)
    return DIRECTIONS.some(([dx, dy]) => {
      let length = 1
      for (const sign of [1, -1]) {
        for (let i = 1; i < 4 && this.#at(column + sign * i * dx, row + sign * i * dy) === side; i++) length++
      }
      return length >= 4
    })
  }

  /** The best move, `depth` half moves far, and what it is worth to that side. */
  best(side: Side, depth: number, floor = -WON, ceiling = WON): { column: number; worth: number } {
    let best = { column: -1, worth: floor }
    for (const column of this.legal()) {
      const move = this.play(column, side)
      const worth = this.#worth(move, side, depth, best.worth, ceiling)
      this.takeBack(column)
      if (best.column < 0 || worth > best.worth) best = { column, worth }
      if (best.worth >= ceiling) break
    }
    return best
  }

  #worth(move: Move, side: Side, depth: number, floor: number, ceiling: number): number {
    // A win that comes sooner is worth more, so it is not put off.
    if (this.wins(move)) return WON - this.moves
    if (this.moves === COLUMNS * ROWS) return 0
    if (depth <= 1) return this.#outlook(side)
    return -this.best(side === 1 ? 2 : 1, depth - 1, -ceiling, -floor).worth
  }

  /** Stones near the middle are in more rows of four. */
  #outlook(side: Side): number {
    const worth = this.#columns.map((stack, column) =>
      stack.reduce((sum, stone) => sum + (stone === side ? 1 : -1) * (3 - Math.abs(3 - column)), 0),
    )
    return worth.reduce((a, b) => a + b, 0)
  }

  #at = (column: number, row: number) => this.#columns[column]?.[row]
}
