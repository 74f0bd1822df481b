/** The rules of connect four: seven columns of six cells; four discs in a row win. The server and the page use them. */

export const COLUMNS = 7
export const ROWS = 6
export const CELLS = COLUMNS * ROWS

export const colours = ['red', 'yellow'] as const
export type Colour = (typeof colours)[number]

export const otherColour = (colour: Colour): Colour => (colour === 'red' ? 'yellow' : 'red')

/** All rows of four cells, as indexes of cells: 69 of them. */
export const lines: readonly (readonly number[])[] = makeLines()

/** For each cell the lines that it is in, as indexes of {@link lines}. */
export const linesOf: readonly (readonly number[])[] = Array.from({ length: CELLS }, (_, cell) =>
  lines.flatMap((line, index) => (line.includes(cell) ? [index] : [])),
)

/** The index of a cell. Column 0 is on the left, row 0 at the bottom. */
export function cellAt(column: number, row: number): number {
  return column * ROWS + row
}

export class Board {
  /** For each cell the disc in it: 1 is red, −1 is yellow, 0 is none. */
  readonly cells = new Int8Array(CELLS)
  /** The number of discs in each column. */
  readonly heights = new Int8Array(COLUMNS)
  discs = 0

  static after(first: Colour, columns: readonly number[]): Board {
    const board = new Board()
    let disc = discOf(first)
    for (const column of columns) {
      board.drop(column, disc)
      disc = -disc
    }
    return board
  }

  hasRoom(column: number): boolean {
    return column >= 0 && column < COLUMNS && this.heights[column]! < ROWS
  }

  /** Drops a disc into a column that has room. Returns the cell that it lands in. */
  drop(column: number, disc: number): number {
    const cell = cellAt(column, this.heights[column]!++)
    this.cells[cell] = disc
    this.discs++
    return cell
  }

  /** Takes the topmost disc of a column back. */
  undo(column: number): void {
    this.cells[cellAt(column, --this.heights[column]!)] = 0
    this.discs--
  }

  /** The row of four that the disc in this cell completes, if any. */
  lineThrough(cell: number): readonly number[] | undefined {
    const { cells } = this
    const disc = cells[cell]
    const index = linesOf[cell]!.find(line => lines[line]!.every(other => cells[other] === disc))
    return index === undefined ? undefined : lines[index]
  }

  get isFull(): boolean {
    return this.discs === CELLS
  }
}

/** The number that stands for a colour in {@link Board.cells}. */
export const discOf = (colour: Colour): number => (colour === 'red' ? 1 : -1)

function makeLines(): number[][] {
  const found: number[][] = []
  for (const [dx, dy] of [
    [1, 0],
    [0, 1],
    [1, 1],
    [1, -1],
  ] as const) {
    for (let column = 0; column < COLUMNS; column++) {
      for (let row = 0; row < ROWS; row++) {
        const [endColumn, endRow] = [column + 3 * dx, row + 3 * dy]
        if (endColumn >= COLUMNS || endRow >= ROWS || endRow < 0) continue
        found.push([0, 1, 2, 3].map(i => cellAt(column + i * dx, row + i * dy)))
      }
    }
  }
  return found
}
