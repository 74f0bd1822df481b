/** The page of the game. The table is in the address: who opens it, plays or watches. */
// Before the first schema.
import '../../shared/no-eval.ts'

import { StrictMode, useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { createClient } from 'twinrail-client'
import { usePresence } from 'twinrail-client/react'
import { person, rename } from '../../shared/person.ts'
import { TransportBar } from '../../shared/transport-bar.tsx'
import { useEvents } from '../../shared/use-events.ts'
import { colours, otherColour } from '../rules.ts'
import { schemas, type Table, turnOf } from '../table.ts'
import { BoardView } from './board.tsx'
import { Seats } from './seats.tsx'
import { initial, reduce } from './state.ts'
import '../../shared/style.css'
import './style.css'

const client = createClient({
  url: '/',
  // Moves, and where the player points.
  needs: { upstreamPerSecond: 20 },
  auth: () => ({ token: person.secret }),
})

if (location.hash === '') history.replaceState(null, '', `#table-${crypto.randomUUID().slice(0, 8)}`)
window.addEventListener('hashchange', () => location.reload())
const sessionId = location.hash.slice(1)

/** How long a table waits for somebody to come back, in ms. */
const CLOSES_MS = 60_000

function Game() {
  const session = useMemo(() => client.session(sessionId, schemas), [])
  const { state, isLive, error } = useEvents(session, initial, reduce)
  const { runId, closed, table, refusal, thinking, hover, tables } = state
  const [name, setName] = useState(person.name)
  const [problem, setProblem] = useState('')
  const { members, memberId } = usePresence(session, { state: { name } })

  // Presence says under which id the server knows this page.
  const me = members.find(member => member.memberId === memberId)?.principal
  const own = colours.find(seat => {
    const player = table.seats[seat]
    return player?.kind === 'person' && player.id === me
  })
  const turn = turnOf(table)
  const isOwnTurn = own !== undefined && turn === own && !closed

  const openTable = useCallback(async () => {
    // All pages that do this at the same time name the same run, so there is one table.
    const run = session.run(
      'table',
      {},
      { runId: `table-${tables + 1}`, onNoViewers: { cancelAfterMs: CLOSES_MS } },
    )
    await run.started.catch(error => setProblem(error.message))
  }, [session, tables])
  useEffect(() => {
    if (isLive && !runId) void openTable()
  }, [isLive, runId, openTable])

  const ask = async (...requests: string[]) => {
    setProblem('')
    try {
      for (const request of requests) await session.steer(runId ?? '', request)
    } catch (error) {
      setProblem((error as Error).message)
    }
  }

  const pointed = useRef<number | null>(null)
  const point = (column: number | null) => {
    if (!isOwnTurn || pointed.current === column) return
    pointed.current = column
    // Only for those who watch at this moment; the next one makes up for a lost one.
    session.publish('x.game.hover', { column }, { ephemeral: true }).catch(() => {})
  }

  const other = own ? otherColour(own) : turn
  const player = other && table.seats[other]
  const pointsAt =
    hover && hover.by !== me && player?.kind === 'person' && hover.by === player.id ? hover.column : null
  const ghostColumn = thinking?.column ?? pointsAt
  const ghost = turn && ghostColumn !== null && !isOwnTurn ? { column: ghostColumn, seat: turn } : undefined

  const watching = members.filter(({ principal }) => !isSeated(table, principal))
  const refused = refusal && refusal.to === me ? refusal.reason : ''

  return (
    <div className="app">
      <header>
        <h1>Connect four</h1>
        <TransportBar client={client} />
      </header>
      <main>
        <div className="play">
          <p className="status" role="status">
            {closed
              ? `This table is closed: ${closed}.`
              : isLive
                ? statusOf(table, own)
                : 'Loading the table …'}
          </p>
          <BoardView
            table={table}
            turn={isOwnTurn ? own : undefined}
            ghost={ghost}
            drop={column => void ask(`drop ${column + 1}`)}
            point={point}
          />
          <p className="note soft">
            {thinking
              ? `The computer looks ${thinking.depth} moves ahead: ${thinking.positions.toLocaleString('en')} positions`
              : own && !closed
                ? 'Keys: 1 to 7 drop a disc, ← and → move'
                : ''}
          </p>
          <p className="problem" role="alert" hidden={!(refused || problem || error)}>
            {refused ? `Refused: ${refused}.` : problem || error?.message}
          </p>
        </div>
        <aside>
          {closed ? (
            <button type="button" className="primary" onClick={() => void openTable()}>
              Open a new table
            </button>
          ) : (
            runId && (
              <Seats
                table={table}
                own={own}
                name={name}
                rename={name => {
                  rename(name)
                  setName(name)
                }}
                ask={(...requests) => void ask(...requests)}
              />
            )
          )}
          <section aria-label="Spectators">
            <h2>
              {watching.length === 0
                ? 'Nobody else watches'
                : `${watching.length} ${watching.length === 1 ? 'spectator' : 'spectators'}`}
            </h2>
            <ul className="watching">
              {watching.map(member => (
                <li key={`${member.principal} ${member.memberId}`}>
                  {(member.state as { name?: string } | undefined)?.name ?? 'Somebody'}
                  {member.memberId === memberId && ' (you)'}
                </li>
              ))}
            </ul>
            <CopyLink />
          </section>
        </aside>
      </main>
    </div>
  )
}

function CopyLink() {
  const [isCopied, setIsCopied] = useState(false)
  const copy = () =>
    navigator.clipboard.writeText(location.href).then(
      () => setIsCopied(true),
      () => {},
    )
  return (
    <button type="button" onClick={() => void copy()}>
      {isCopied ? 'Address copied' : 'Copy the address'}
    </button>
  )
}

const isSeated = ({ seats }: Table, id: string) =>
  colours.some(seat => seats[seat]?.kind === 'person' && (seats[seat] as { id: string }).id === id)

function statusOf(table: Table, own: string | undefined): string {
  const { outcome, seats, game } = table
  const turn = turnOf(table)
  const nameOf = (seat: 'red' | 'yellow') => {
    const player = seats[seat]
    return player?.kind === 'person' ? player.name : player ? 'The computer' : seat
  }
  if (outcome?.winner) return outcome.winner === own ? 'You win!' : `${nameOf(outcome.winner)} wins.`
  if (outcome) return 'The board is full: nobody wins.'
  if (turn) return turn === own ? 'Your turn.' : `${nameOf(turn)} is to move.`
  if (seats.red || seats.yellow) return 'One seat is free.'
  return game === 0 ? 'Both seats are free.' : 'The players have left.'
}

createRoot(document.getElementById('app')!).render(
  <StrictMode>
    <Game />
  </StrictMode>,
)
