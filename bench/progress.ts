/** Progress on stderr: a line that is rewritten on a terminal, a new line now and then in a pipe. */

/** In a pipe, a line is written each time this much more is done. */
const STEP = 0.1

/** The remaining time is shown only after this part: before, it would be a guess. */
const ESTIMATED_FROM = 0.02

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
    const { isTTY, columns = 80 } = this.#stream
    if (!isTTY && part > 0 && part - this.#shown < STEP) return
    this.#shown = part
    const spent = performance.now() - this.#begun
    const left = part < ESTIMATED_FROM ? '' : remaining((spent / part) * (1 - part))
    const percent = `${String(Math.floor(part * 100)).padStart(3)} %`
    const line = [this.#label, percent, left, what].filter(word => word !== '').join(' ')
    this.#stream.write(isTTY ? `\r\x1b[K${line.slice(0, columns - 1)}` : `${line}\n`)
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
