/** Bytes of a response as frames: events of an SSE stream, lines of NDJSON, or pieces of text. */
import { createParser, type EventSourceMessage } from 'eventsource-parser'
import { RunError } from '../agents/agent.ts'

/** One frame of a stream. */
export interface SourceFrame {
  /** The text of the frame: the data of an SSE event, a line, or a piece of text. */
  readonly data: string
  /** The `event:` field of an SSE event. */
  readonly event?: string
  /** The `id:` field of an SSE event. */
  readonly id?: string
}

export type Framing = 'sse' | 'ndjson' | 'text'

/**
 * The frames of a body, at the pace at which they are iterated.
 * @param maxChars maximum size of one frame, in UTF-16 units
 * @throws RunError `upstream-invalid` for bytes that are not UTF-8, `upstream-too-large` for a frame that does not end
 */
export async function* framesOf(
  chunks: AsyncIterable<Uint8Array>,
  framing: Framing,
  maxChars: number,
): AsyncGenerator<SourceFrame, void, void> {
  const split = { sse: sseFrames, ndjson: lineFrames, text: textFrames }[framing](maxChars)
  for await (const text of decoded(chunks)) yield* split.feed(text)
  yield* split.end()
}

interface Splitter {
  feed(text: string): Iterable<SourceFrame>
  end(): Iterable<SourceFrame>
}

async function* decoded(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  for await (const chunk of chunks) {
    let text: string
    try {
      text = decoder.decode(chunk, { stream: true })
    } catch (cause) {
      // What stands before the first wrong byte is part of the answer.
      yield new TextDecoder().decode(chunk).split('\ufffd')[0] as string
      throw invalid(cause)
    }
    if (text !== '') yield text
  }
  try {
    decoder.decode()
  } catch (cause) {
    throw invalid(cause)
  }
}

function invalid(cause: unknown): RunError {
  return new RunError('upstream-invalid', "The answer of the agent's server is not UTF-8.", { cause })
}

function tooLarge(maxChars: number): RunError {
  return new RunError(
    'upstream-too-large',
    `The agent's server sent more than ${maxChars} characters without the end of a frame.`,
  )
}

function sseFrames(maxChars: number): Splitter {
  let found: SourceFrame[] = []
  let isTooLarge = false
  const parser = createParser({
    maxBufferSize: maxChars,
    onEvent: ({ data, event, id }: EventSourceMessage) => {
      found.push({ data, ...(event !== undefined && { event }), ...(id !== undefined && { id }) })
    },
    onError: ({ type }) => {
      if (type === 'max-buffer-size-exceeded') isTooLarge = true
    },
  })
  return {
    feed(text) {
      parser.feed(text)
      if (isTooLarge) throw tooLarge(maxChars)
      const frames = found
      found = []
      return frames
    },
    // An SSE event without an empty line after it does not count: it may be cut off.
    end: () => [],
  }
}

function lineFrames(maxChars: number): Splitter {
  let rest = ''
  const frames = (lines: string[]) => lines.filter(line => line.trim() !== '').map(data => ({ data }))
  return {
    feed(text) {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      if (rest.length > maxChars) throw tooLarge(maxChars)
      return frames(lines)
    },
    end: () => frames([rest]),
  }
}

function textFrames(): Splitter {
  return { feed: data => [{ data }], end: () => [] }
}
