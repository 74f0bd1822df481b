/** The status line at the bottom of a terminal. */
import type { FollowStatus } from '../../client/index.ts'
import { beginning } from '../protocol/index.ts'
import type { Environment, Output } from './screen.ts'
import { bytes, counted, duration, oneLine } from './text.ts'

/** The text of the line. */
export function statusText(status: FollowStatus, events: number, elapsedMs: number): string {
  const state =
    status.state === 'waiting'
      ? `reconnecting in ${duration(status.retryInMs)} (${status.error.message})`
      : status.state
  const reconnects = status.attempts - 1
  return [
    status.transport,
    state,
    counted(events, 'event'),
    duration(elapsedMs),
    bytes(status.bytes),
    ...(reconnects > 0 ? [counted(reconnects, 'reconnect')] : []),
  ].join(' · ')
}

const SAVE = '\x1b7'
const RESTORE = '\x1b8'

/** On a smaller terminal the line would take too much room. */
const MIN_ROWS = 5

/**
 * Keeps the bottom row of the terminal for one line by ending the scroll region above it: tokens stream there as
 * they would on the whole screen, in the middle of a line too. Does nothing when `stream` is no terminal.
 */
export class StatusLine {
  readonly #stream: Output
  readonly #enabled: boolean
  readonly #stop = () => this.stop()
  readonly #reserve = () => this.#reserveRow()
  #text = ''
  #drawn = ''
  #redraw: ReturnType<typeof setInterval> | undefined

  constructor(stream: Output, env: Environment) {
    this.#stream = stream
    this.#enabled = Boolean(stream.isTTY) && (stream.rows ?? 0) >= MIN_ROWS && env['TERM'] !== 'dumb'
  }

  /** Whether there is a terminal to show it on. */
  get shown(): boolean {
    return this.#enabled
  }

  /** Shows the result of `text`, updated ten times a second, until {@link stop}. */
  start(text: () => string): void {
    if (!this.#enabled) return
    this.#reserveRow()
    this.#stream.on('resize', this.#reserve)
    process.once('exit', this.#stop) // a terminal left with a scroll region is broken for its user
    this.#redraw = setInterval(() => {
      this.#text = text()
      this.#draw()
    }, 100)
    this.#redraw.unref()
  }

  /** Removes the line and restores the scroll region. */
  stop(): void {
    if (!this.#redraw) return
    clearInterval(this.#redraw)
    this.#redraw = undefined
    this.#stream.off('resize', this.#reserve)
    process.off('exit', this.#stop)
    this.#stream.write(`${SAVE}\x1b[r\x1b[${this.#stream.rows};1H\x1b[2K${RESTORE}`)
  }

  #reserveRow(): void {
    // the line feed scrolls when the cursor is on the row that is taken; setting the region moves the cursor
    this.#stream.write(`\n${SAVE}\x1b[1;${this.#stream.rows! - 1}r${RESTORE}\x1b[1A`)
    this.#drawn = ''
    this.#draw()
  }

  #draw(): void {
    const text = beginning(oneLine(this.#text, 1000), (this.#stream.columns ?? 80) - 1)
    if (text === this.#drawn) return
    this.#drawn = text
    this.#stream.write(`${SAVE}\x1b[${this.#stream.rows};1H\x1b[2K\x1b[7m ${text} \x1b[27m${RESTORE}`)
  }
}
