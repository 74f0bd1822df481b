/** The rules and the computer player of the example `game`. */
import t from 'tap'
import { Board, type Colour, discOf, lines } from '../../examples/game/rules.ts'
import { levels, Search, type Strength } from '../../examples/game/search.ts'
import {
  decide,
  emptyTable,
  moved,
  parseRequest,
  reduce,
  type Table,
  turnOf,
} from '../../examples/game/table.ts'

/** The column that the computer chooses after these moves, in small slices. */
function chosen(moves: readonly number[], strength: Strength = levels.medium, slice = 100): Search {
  const search = new Search('red', moves, strength)
  while (!search.advance(slice));
  return search
}

t.test('the computer wins when it can, and prevents what it must', async t => {
  t.equal(lines.length, 69)
  t.equal(chosen([3, 0, 3, 0, 3, 0]).column, 3, 'it completes its own four, not the other side’s')
  t.equal(chosen([6, 3, 0, 3, 6, 3]).column, 3, 'it prevents a four')
  // Red has two in the middle of the bottom row, free on both sides.
  t.ok([1, 4].includes(chosen([3, 3, 2, 2]).column), 'it makes three that are open on both sides')
  t.equal(chosen([3, 3, 2]).column === 1 || chosen([3, 3, 2]).column === 4, true, 'it prevents that')
})

t.test('a search stays within its budget, and slices do not change what it finds', async t => {
  const whole = chosen([3], levels.medium, Number.POSITIVE_INFINITY)
  const sliced = chosen([3], levels.medium, 7)
  t.same([sliced.column, sliced.value, sliced.positions], [whole.column, whole.value, whole.positions])
  t.ok(whole.positions <= levels.medium.positions)
  const search = new Search('red', [], levels.strong)
  search.advance(500)
  t.equal(search.positions, 500)
})

t.test('the stronger computer wins, whoever begins', async t => {
  for (const strong of [0, 1]) {
    const board = new Board()
    const moves: number[] = []
    for (let winner: number | undefined; winner === undefined; ) {
      const side = moves.length % 2
      const { column } = chosen(moves, side === strong ? levels.medium : levels.easy, 5000)
      const cell = board.drop(column, discOf((['red', 'yellow'] as const)[side]!))
      moves.push(column)
      if (board.lineThrough(cell)) winner = side
      else if (board.isFull) winner = -1
      if (winner !== undefined) t.equal(winner, strong, moves.join(''))
    }
  }
})

t.test('what a table grants and refuses', async t => {
  const said = (table: Table, text: string, person: string) => {
    const decided = decide(table, parseRequest(text)!, person)
    return typeof decided === 'string' ? decided : decided.reduce(reduce, table)
  }
  let table = emptyTable
  const grant = (text: string, person: string) => {
    const next = said(table, text, person)
    if (typeof next === 'string') t.fail(`${text}: ${next}`)
    else table = next
  }
  const refuse = (text: string, person: string, reason: string) => t.equal(said(table, text, person), reason)

  refuse('drop 1', 'ann', 'only players may move; you watch')
  grant('sit red Ann', 'ann')
  refuse('sit yellow Ann', 'ann', 'you play red already')
  refuse('drop 1', 'ann', 'no game is on')
  refuse('computer yellow easy', 'ben', 'only a player may invite the computer')
  grant('sit yellow Ben', 'ben')
  t.equal(turnOf(table), 'red')
  refuse('sit red Cem', 'cem', 'red is taken')
  refuse('drop 1', 'ben', 'it is not your turn')
  for (const person of ['ann', 'ben', 'ann', 'ben', 'ann', 'ben']) grant('drop 1', person)
  refuse('drop 1', 'ann', 'column 1 is full')
  refuse('rematch', 'ann', 'the game is not over yet')
  for (const column of [4, 7, 4, 7, 4, 7, 4]) grant(`drop ${column}`, turnOf(table) === 'red' ? 'ann' : 'ben')
  t.same(table.outcome?.winner, 'red' satisfies Colour)
  t.equal(table.outcome?.line.length, 4)
  refuse('drop 1', 'ben', 'no game is on')
  refuse('rematch', 'cem', 'only a player may ask for a rematch')
  grant('rematch', 'ben')
  t.equal(turnOf(table), 'yellow', 'the other side begins')
  grant('stand', 'ann')
  t.same([table.outcome?.winner, table.seats.red], ['yellow', null], 'who stands up during a game loses it')

  for (const text of [
    '',
    'drop 0',
    'drop 8',
    'drop 1.5',
    'sit green Ann',
    'sit red ',
    'computer red godlike',
  ]) {
    t.equal(parseRequest(text), undefined, `"${text}" is no request`)
  }
  t.equal(typeof moved({ ...table, game: 1, moves: [0, 0, 0, 0, 0, 0], outcome: undefined }, 0), 'string')
})
