/** From the parts of a model's stream to events. */
import { beginning, type EventBody } from '../../protocol/index.ts'
import { safeId } from '../ids.ts'
import { endsInHalf, pieces, wellFormed, wellFormedValue } from '../well-formed.ts'
import type { StreamPart } from './sdk.ts'

/** UTF-8 bytes of a tool's value that an event can hold; the rest of its 1 MiB is left to the envelope. */
const VALUE_BYTES = 1_000_000

/** UTF-16 units of one delta; a longer one becomes several. Escaped, each takes at most six bytes of an event's 1 MiB. */
const DELTA_UNITS = 64 * 1024

type TextKind = 'text' | 'reasoning'

interface ToolState {
  readonly toolCallId: string
  finished: boolean
  /** The half character at the end of the latest delta, which waits for the other. */
  half: string
}

/**
 * The events of one run's model calls. Promises: every part, tool call and step that starts is ended exactly once,
 * at the latest by {@link close}; ids are the protocol's and used once in the run, whatever the model calls things.
 */
export class ModelEvents {
  readonly #runId: string
  #ids = 0
  #steps = 0
  #step: string | undefined
  /** Open text and reasoning: by kind and the model's id, our partId, and the half character that waits for the other. */
  readonly #texts = new Map<string, { kind: TextKind; partId: string; half: string }>()
  /** By the model's id, its latest tool call of that id. */
  readonly #tools = new Map<string, ToolState>()
  readonly #sources = new Set<string>()

  constructor(runId: string) {
    this.#runId = runId
  }

  /** Converts a part of the model's stream to events. */
  of(part: StreamPart): EventBody[] {
    switch (part.type) {
      case 'start-step':
        return this.#startStep()
      case 'finish-step':
        return this.#endStep()
      case 'text-start':
        return this.#startText('text', part.id)
      case 'text-delta':
        return this.#delta('text', part.id, part.text)
      case 'text-end':
        return this.#endText(`text ${part.id}`)
      case 'reasoning-start':
        return this.#startText('reasoning', part.id)
      case 'reasoning-delta':
        return this.#delta('reasoning', part.id, part.text)
      case 'reasoning-end':
        return this.#endText(`reasoning ${part.id}`)
      case 'tool-input-start':
        return this.#startTool(part.id, part.toolName)
      case 'tool-input-delta':
        return this.#toolDelta(part.id, part.delta)
      case 'tool-call': {
        const started = this.#startTool(part.toolCallId, part.toolName)
        const toolCallId = this.toolCallId(part.toolCallId)
        const data = { toolCallId, toolName: nameOf(part.toolName), input: loggable(part.input) }
        return [...started, { type: 'tool.called', data }]
      }
      case 'tool-result':
        return part.preliminary ? [] : this.finishTool(part.toolCallId, part.output)
      case 'tool-error':
        return this.finishTool(part.toolCallId, messageOf(part.error), true)
      case 'tool-output-denied':
        return this.finishTool(part.toolCallId, 'Denied.', true)
      case 'source':
        return this.#addSource(part)
      default:
        return []
    }
  }

  /** Our id of the model's tool call. */
  toolCallId(id: string): string {
    return this.#tools.get(id)?.toolCallId ?? safeId(id)
  }

  /** Ends a tool call; nothing when it has ended already. */
  finishTool(id: string, output: unknown, isError = false): EventBody[] {
    const tool = this.#tools.get(id)
    if (!tool || tool.finished) return []
    tool.finished = true
    const data = { toolCallId: tool.toolCallId, output: loggable(output), ...(isError && { isError }) }
    return [{ type: 'tool.finished', data }]
  }

  /** Ends everything that is open. */
  close(): EventBody[] {
    const tools = [...this.#tools.keys()].flatMap(id =>
      this.finishTool(id, 'The run ended before the tool did.', true),
    )
    return [...tools, ...this.#endStep()]
  }

  #nextId(): string {
    return safeId(`${this.#runId}:${++this.#ids}`)
  }

  #startStep(): EventBody[] {
    const ended = this.#endStep()
    this.#step = this.#nextId()
    return [
      ...ended,
      { type: 'step.started', data: { stepId: this.#step, name: `Model call ${++this.#steps}` } },
    ]
  }

  #endStep(): EventBody[] {
    const ended = [...this.#texts.keys()].flatMap(key => this.#endText(key))
    if (this.#step === undefined) return ended
    ended.push({ type: 'step.finished', data: { stepId: this.#step, name: `Model call ${this.#steps}` } })
    this.#step = undefined
    return ended
  }

  #startText(kind: TextKind, id: string): EventBody[] {
    const key = `${kind} ${id}`
    const ended = this.#endText(key)
    const partId = this.#nextId()
    this.#texts.set(key, { kind, partId, half: '' })
    return [...ended, { type: `${kind}.start`, data: { partId } }]
  }

  #delta(kind: TextKind, id: string, delta: string): EventBody[] {
    const text = this.#texts.get(`${kind} ${id}`)
    if (!text) return []
    const { partId } = text
    return withoutHalves(text, delta).map(delta => ({ type: `${kind}.delta`, data: { partId, delta } }))
  }

  #endText(key: string): EventBody[] {
    const text = this.#texts.get(key)
    if (!text) return []
    this.#texts.delete(key)
    const { kind, partId, half } = text
    const last: EventBody[] =
      half === '' ? [] : [{ type: `${kind}.delta`, data: { partId, delta: wellFormed(half) } }]
    return [...last, { type: `${kind}.end`, data: { partId } }]
  }

  #startTool(id: string, toolName: string): EventBody[] {
    const known = this.#tools.get(id)
    if (known && !known.finished) return []
    // Some servers number tool calls per response, so an id may have been used in an earlier one.
    const toolCallId = known ? this.#nextId() : safeId(id)
    this.#tools.set(id, { toolCallId, finished: false, half: '' })
    return [{ type: 'tool.started', data: { toolCallId, toolName: nameOf(toolName) } }]
  }

  #toolDelta(id: string, delta: string): EventBody[] {
    const tool = this.#tools.get(id)
    if (!tool || tool.finished) return []
    const { toolCallId } = tool
    return withoutHalves(tool, delta).map(delta => ({ type: 'tool.delta', data: { toolCallId, delta } }))
  }

  #addSource({ id, url, title }: Extract<StreamPart, { type: 'source' }>): EventBody[] {
    if (this.#sources.has(id)) return []
    this.#sources.add(id)
    return [
      {
        type: 'source.added',
        data: {
          sourceId: safeId(id),
          title: wellFormed(title ?? url ?? id),
          ...(url && { url: wellFormed(url) }),
        },
      },
    ]
  }
}

/** The deltas of a model's delta: within bounds, without half characters. The half at its end is kept in `part`. */
function withoutHalves(part: { half: string }, delta: string): string[] {
  const text = part.half + delta
  part.half = endsInHalf(text) ? text.slice(-1) : ''
  return [...pieces(wellFormed(part.half === '' ? text : text.slice(0, -1)), DELTA_UNITS)]
}

/** Models make names up; the protocol bounds them. */
function nameOf(toolName: string): string {
  return wellFormed(beginning(toolName, 256)) || 'unknown'
}

function messageOf(error: unknown): unknown {
  return error instanceof Error ? error.message : error
}

/** The value itself where the log can hold its JSON, else a word about it: a tool may return anything. */
function loggable(value: unknown): unknown {
  try {
    const json = JSON.stringify(value) ?? 'null'
    const bytes = Buffer.byteLength(json)
    return bytes > VALUE_BYTES ? { omitted: `${bytes} bytes of JSON` } : (wellFormedValue(value) ?? null)
  } catch {
    return String(value)
  }
}
