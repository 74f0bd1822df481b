/** How far a scenario is, on stderr: one line that changes on a terminal, a line now and then in a pipe. */

/** Part of the pipe's lines: one each time this much more is done. */
const STEP = 0.1

export class Progress {
  readonly #label: string
  readonly #stream: NodeJS.WriteStream
  #shown = -1

  constructor(label: string, stream: NodeJS.WriteStream = process.stderr) {
    this.#label = label
    this.#stream = stream
  }

  /** So much is done, of 1, and this comes next. */
  at(part: number, what = ''): void {
    const line = `${this.#label} ${String(Math.floor(part * 100)).padStart(3)} % ${what}`.trimEnd()
    if (this.#stream.isTTY) this.#stream.write(`\r\x1b[K${line}`)
    else if (part === 0 || part - this.#shown >= STEP) this.#stream.write(`${line}\n`)
    else return
    this.#shown = part
  }

  /** Nothing more comes; the terminal's line is taken away. */
  end(): void {
    if (this.#stream.isTTY) this.#stream.write('\r\x1b[K')
  }
}
