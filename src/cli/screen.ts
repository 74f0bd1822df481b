/** The two outputs of a command: stdout for the content, stderr for everything about it. */
import { once } from 'node:events'
import { styleText } from 'node:util'
import { printable, printableJson, printableStyled } from '../protocol/printable.ts'
import { WholeCharacters } from '../protocol/text.ts'

/** An output stream of a process, or a test's own stream. */
export type Output = NodeJS.WritableStream & {
  isTTY?: boolean
  columns?: number
  rows?: number
  writableNeedDrain?: boolean
}

export type Environment = Record<string, string | undefined>

export type Format = Parameters<typeof styleText>[0]

/** Writes text as it arrives, and keeps lines of the two streams apart on a shared terminal. */
export class Screen {
  readonly stderr: Output
  /** An open prompt. It is hidden while other text is written. */
  prompt: { hide(): void; show(): void } | undefined
  readonly #stdout: Output
  readonly #colours: boolean
  readonly #gone = new AbortController()
  /** Streams whose line is unfinished, and the part that it belongs to. */
  readonly #open = new Map<Output, string>()

  /** The part that was written last. */
  #piece: { part: string; text: WholeCharacters } | undefined

  constructor(stdout: Output, stderr: Output, env: Environment) {
    this.#stdout = stdout
    this.stderr = stderr
    this.#colours = Boolean(stderr.isTTY) && !env['NO_COLOR'] && env['TERM'] !== 'dumb'
    stdout.on('error', error => this.#gone.abort(error)) // the reader may exit first, as `head` does
  }

  /** Aborts when the reader of stdout is gone. */
  get gone(): AbortSignal {
    return this.#gone.signal
  }

  /**
   * Writes a piece of content. Pieces of different parts go on separate lines, and a character that was cut between two
   * pieces is written whole.
   */
  content(part: string, text: string): void {
    this.#stream(this.#stdout, part, printable(this.#whole(part, text)))
  }

  /** Writes a piece of text that is not content, such as reasoning, to stderr. */
  aside(part: string, text: string): void {
    this.#stream(this.stderr, part, this.#paint('dim', printable(this.#whole(part, text))))
  }

  /** Writes a line of content. */
  line(text: string): void {
    this.#line(printable(text))
  }

  /** Writes a line of content whose styles this program made. */
  styled(text: string): void {
    this.#line(printableStyled(text))
  }

  /** Writes JSON as a line of content. */
  json(text: string): void {
    this.#line(printableJson(text))
  }

  #line(text: string): void {
    this.#begin(this.#stdout)
    this.#write(this.#stdout, `${text}\n`)
  }

  #whole(part: string, text: string): string {
    if (this.#piece?.part !== part) this.#piece = { part, text: new WholeCharacters() }
    return this.#piece.text.add(text)
  }

  /** Writes a line that is not content to stderr. */
  note(text: string, format: Format = 'dim'): void {
    this.#begin(this.stderr)
    this.#write(this.stderr, `${this.#paint(format, printable(text))}\n`)
  }

  /** Ends all unfinished lines. */
  end(): void {
    for (const stream of this.#open.keys()) stream.write('\n')
    this.#open.clear()
  }

  /** Resolves when stdout accepts more, so that a slow reader slows the stream down. */
  async drained(): Promise<void> {
    if (this.#stdout.writableNeedDrain) await once(this.#stdout, 'drain', { signal: this.gone })
  }

  #stream(stream: Output, part: string, text: string): void {
    if (text === '') return
    this.#begin(stream, part)
    if (this.#write(stream, text)) this.#open.delete(stream)
    else this.#open.set(stream, part)
  }

  /** Returns whether the output is now at the start of a line. */
  #write(stream: Output, text: string): boolean {
    const ended = text.endsWith('\n')
    const prompt = stream.isTTY ? this.prompt : undefined
    prompt?.hide()
    stream.write(prompt && !ended ? `${text}\n` : text)
    prompt?.show()
    return ended || prompt !== undefined
  }

  /** Ends unfinished lines of other parts on this stream or, when both streams are terminals, on the same screen. */
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
