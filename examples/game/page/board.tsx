/** The board: seven columns, each one button. */
import type { KeyboardEvent } from 'react'
import { Board, COLUMNS, type Colour, cellAt, discOf, ROWS } from '../rules.ts'
import type { Table } from '../table.ts'

interface BoardProps {
  table: Table
  /** The side that this page plays and that is to move; `undefined` when it must wait. */
  turn: Colour | undefined
  /** The column that the other side points at or thinks of, and its colour. */
  ghost: { column: number; seat: Colour } | undefined
  drop(column: number): void
  /** Called with the column that the player points at. */
  point(column: number | null): void
}

const names = { 1: 'red', '-1': 'yellow' } as Record<number, Colour>
const columns = Array.from({ length: COLUMNS }, (_, column) => column)
/** From the top, as they are drawn. */
const rows = Array.from({ length: ROWS }, (_, row) => ROWS - 1 - row)

export function BoardView({ table, turn, ghost, drop, point }: BoardProps) {
  const { first, moves, outcome } = table
  const board = Board.after(first, moves)
  const lastColumn = moves.at(-1)
  const last = lastColumn === undefined ? -1 : cellAt(lastColumn, board.heights[lastColumn]! - 1)

  const pressed = (event: KeyboardEvent<HTMLDivElement>) => {
    const buttons = [...event.currentTarget.querySelectorAll('button')]
    const at = buttons.indexOf(event.target as HTMLButtonElement)
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
    if (step !== undefined) buttons[(at + step + COLUMNS) % COLUMNS]?.focus()
    const column = Number(event.key) - 1
    if (columns.includes(column)) {
      buttons[column]?.focus()
      drop(column)
    }
  }

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the keys are for the buttons inside
    <div className="board" data-turn={turn} onKeyDown={pressed} onPointerLeave={() => point(null)}>
      {columns.map(column => (
        <button
          key={column}
          type="button"
          className="column"
          aria-label={`Column ${column + 1}: ${describe(board, column)}`}
          aria-disabled={turn === undefined || !board.hasRoom(column)}
          onClick={() => drop(column)}
          onPointerEnter={() => point(column)}
          onFocus={() => point(column)}
        >
          <span
            className="ghost disc"
            data-colour={ghost?.column === column ? ghost.seat : undefined}
            aria-hidden="true"
          />
          {rows.map(row => {
            const cell = cellAt(column, row)
            const disc = board.cells[cell]!
            return (
              <span className="cell" key={row} aria-hidden="true">
                {disc !== 0 && (
                  <span
                    className="disc"
                    data-colour={names[disc]}
                    data-last={cell === last || undefined}
                    data-won={outcome?.line.includes(cell) || undefined}
                    style={{ '--from': ROWS - row } as object}
                  />
                )}
              </span>
            )
          })}
        </button>
      ))}
    </div>
  )
}

function describe(board: Board, column: number): string {
  const discs = Array.from({ length: board.heights[column]! }, (_, row) =>
    board.cells[cellAt(column, row)] === discOf('red') ? 'red' : 'yellow',
  )
  return discs.length === 0 ? 'empty' : `${discs.join(', ')} from the bottom`
}
