/** The two sides of the table, and what one may do there. */
import { useState } from 'react'
import { type Colour, colours, otherColour } from '../rules.ts'
import { type Level, levels } from '../search.ts'
import { type Table, turnOf } from '../table.ts'

interface SeatsProps {
  table: Table
  /** The side that this page plays. */
  own: Colour | undefined
  name: string
  rename(name: string): void
  /** Sends requests to the table, in this order. */
  ask(...requests: string[]): void
}

export function Seats({ table, own, name, rename, ask }: SeatsProps) {
  const { seats, outcome, wins } = table
  const [level, setLevel] = useState<Level>('medium')
  const turn = turnOf(table)
  const free = colours.filter(seat => !seats[seat])
  const sits = free[0]
  const others = own && otherColour(own)

  const levelChoice = (
    <label className="level">
      <span className="unseen">Strength of the computer</span>
      <select value={level} onChange={({ target }) => setLevel(target.value as Level)}>
        {Object.keys(levels).map(name => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </label>
  )

  return (
    <section className="seats" aria-label="Players">
      {colours.map(seat => {
        const player = seats[seat]
        const who = player?.kind === 'person' ? player.name : player ? `Computer, ${player.level}` : 'free'
        return (
          <div key={seat} className="seat" data-turn={turn === seat || undefined}>
            <span className="disc" data-colour={seat} aria-hidden="true" />
            <span className="who">
              <b>{who}</b>
              {own === seat && ' (you)'}
              <small>
                {seat}
                {turn === seat && ', to move'}
                {outcome?.winner === seat && ', wins'}
              </small>
            </span>
            <span className="wins">
              {wins[seat]}
              <span className="unseen"> won</span>
            </span>
          </div>
        )
      })}

      {!own && sits && (
        <form
          onSubmit={event => {
            event.preventDefault()
            const button = (event.nativeEvent as SubmitEvent).submitter as HTMLButtonElement | null
            const computer = button?.value === 'computer' ? [`computer ${otherColour(sits)} ${level}`] : []
            ask(`sit ${sits} ${name}`, ...computer)
          }}
        >
          <label>
            Your name
            <input
              value={name}
              onChange={({ target }) => rename(target.value)}
              maxLength={40}
              required
              autoComplete="off"
            />
          </label>
          {free.length === 2 && (
            <div className="row">
              <button type="submit" value="computer" className="primary">
                Play the computer
              </button>
              {levelChoice}
            </div>
          )}
          <button type="submit" value="person">
            {free.length === 2 ? 'Play a friend' : `Sit down as ${sits}`}
          </button>
        </form>
      )}

      {own && others && !seats[others] && (
        <div className="waiting">
          <p>Send a friend the address of this page, or</p>
          <div className="row">
            <button type="button" onClick={() => ask(`computer ${others} ${level}`)}>
              Invite the computer
            </button>
            {levelChoice}
          </div>
        </div>
      )}

      {own && (
        <div className="row">
          {outcome && free.length === 0 && (
            <button type="button" className="primary" onClick={() => ask('rematch')}>
              Rematch
            </button>
          )}
          <button type="button" onClick={() => ask('stand')}>
            {turn ? 'Give up' : 'Stand up'}
          </button>
        </div>
      )}
    </section>
  )
}
