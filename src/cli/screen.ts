/** The two outputs of a command: stdout for the content, stderr for everything about it. */
import { once } from 'node:events'
import { styleText } from 'node:util'
import { printable } from './text.ts'

/** A process's stream, or what a test puts in its place. */
export type Output = NodeJS.WritableStream & {
  isTTY?: boolean
  columns?: number
  rows?: number
  writableNeedDrain?: boolean
}

export type Environment = Record<string, string | undefined>

export type Format = Parameters<typeof styleText>[0]

/** Writes text as it comes and keeps lines apart, whichever of the two streams each goes to. */
export class Screen {
  readonly stderr: Output
  /** An open prompt: it steps aside for what is written meanwhile. */
  prompt: { hide(): void; show(): void } | undefined
  readonly #stdout: Output
  readonly #colours: boolean
  readonly #gone = new AbortController()
  /** Streams whose line is unfinished, and the part that it belongs to. */
  readonly #open = new Map<Output, string>()

  constructor(stdout: Output, stderr: Output, env: Environment) {
    this.#stdout = stdout
    this.stderr = stderr
    this.#colours = Boolean(stderr.isTTY) && !env['NO_COLOR'] && env['TERM'] !== 'dumb'
    stdout.on('error', error => this.#gone.abort(error)) // a reader may leave first, as `head` does
  }

  /** Aborts when nobody reads stdout any more. */
  get gone(): AbortSignal {
    return this.#gone.signal
  }

  /** Streams a piece of content; `part` keeps pieces of different parts on lines of their own. */
  content(part: string, text: string): void {
    this.#stream(this.#stdout, part, printable(text))
  }

  /** Streams a piece of text that is not content. */
  aside(part: string, text: string): void {
    this.#stream(this.stderr, part, this.#paint('dim', printable(text)))
  }

  /** Writes a line of content. */
  line(text: string): void {
    this.#begin(this.#stdout)
    this.#write(this.#stdout, `${text}\n`)
  }

  /** Writes a line that is not content. */
  note(text: string, format: Format = 'dim'): void {
    this.#begin(this.stderr)
    this.#write(this.stderr, `${this.#paint(format, printable(text))}\n`)
  }

  /** Finishes the lines that are still open. */
  end(): void {
    for (const stream of this.#open.keys()) stream.write('\n')
    this.#open.clear()
  }

  /** Resolves when stdout takes more: a slow reader slows the stream it is shown. */
  async drained(): Promise<void> {
    if (this.#stdout.writableNeedDrain) await once(this.#stdout, 'drain', { signal: this.gone })
  }

  #stream(stream: Output, part: string, text: string): void {
    if (text === '') return
    this.#begin(stream, part)
    if (this.#write(stream, text)) this.#open.delete(stream)
    else this.#open.set(stream, part)
  }

  /** Whether it ended with the end of a line. */
  #write(stream: Output, text: string): boolean {
    const ended = text.endsWith('\n')
    const prompt = stream.isTTY ? this.prompt : undefined
    prompt?.hide()
    stream.write(prompt && !ended ? `${text}\n` : text)
    prompt?.show()
    return ended || prompt !== undefined
  }

  /** Finishes what stands in the way on the same stream or, when both are terminals, on the same screen. */
  #begin(stream: Output, part?: string): void {
    for (const [open, its] of this.#open) {
      if (open === stream ? its === part : !(open.isTTY && stream.isTTY)) continue
      open.write('\n')
      this.#open.delete(open)
    }
  }

  #paint(format: Format, text: string): string {
    return this.#colours ? styleText(format, text, { validateStream: false }) : text
  }
}
