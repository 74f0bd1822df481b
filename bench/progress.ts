/** Progress on stderr: a line that is rewritten on a terminal, a new line now and then in a pipe. */

/** In a pipe, a line is written each time this much more is done. */
const STEP = 0.1

/** The remaining time is shown only after this part: before, it would be a guess. */
const ESTIMATED_FROM = 0.02

/** Width of the bar on a terminal. */
const BAR = 20

/** A remaining time for people. */
export function remaining(ms: number): string {
  const seconds = Math.round(ms / 1000)
  if (seconds < 100) return `${seconds} s left`
  return `${Math.round(seconds / 60)} min left`
}

export class Progress {
  readonly #label: string
  readonly #stream: NodeJS.WriteStream
  readonly #begun = performance.now()
  #shown = -1

  constructor(label: string, stream: NodeJS.WriteStream = process.stderr) {
    this.#label = label
    this.#stream = stream
  }

  /** @param part what is done, 0..1 @param what the next step */
  at(part: number, what = ''): void {
    const spent = performance.now() - this.#begun
    const left = part < ESTIMATED_FROM ? '' : remaining((spent / part) * (1 - part))
    const percent = `${String(Math.floor(part * 100)).padStart(3)} %`
    if (this.#stream.isTTY) {
      const filled = Math.round(part * BAR)
      const bar = '█'.repeat(filled) + '░'.repeat(BAR - filled)
      const line = [this.#label, bar, percent, left, what].filter(word => word !== '').join(' ')
      this.#stream.write(`\r\x1b[K${line.slice(0, (this.#stream.columns ?? 80) - 1)}`)
    } else if (part === 0 || part - this.#shown >= STEP) {
      this.#stream.write(`${[this.#label, percent, left, what].filter(word => word !== '').join(' ')}\n`)
    } else return
    this.#shown = part
  }

  /** Writes a line that stays. */
  note(text: string): void {
    this.end()
    this.#stream.write(`${text}\n`)
  }

  /** Removes the terminal's line. */
  end(): void {
    if (this.#stream.isTTY) this.#stream.write('\r\x1b[K')
  }
}
