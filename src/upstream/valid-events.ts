/** Makes valid events of what an upstream says: every part is opened before it is used and closed once. */
import { safeId } from '../agents/ids.ts'
import { endsInHalf, pieces, wellFormed, wellFormedValue } from '../agents/well-formed.ts'
import { beginning, type EventBody, parseEventBody, TwinrailError } from '../protocol/index.ts'

/** UTF-16 units of one delta; a longer one becomes several. */
const DELTA_UNITS = 64 * 1024

/** Size of the JSON of one event's data, in UTF-8 bytes. The rest of an event's 1 MiB is left to its other fields. */
const DATA_BYTES = 1_000_000

/** Units that are kept of a value that is too large. */
const KEPT_UNITS = 100_000

/** Events that only the server and its users make. */
const NOT_OF_AGENTS = /^(run\.(started|completed|failed|cancelled|cancel-requested)|input\.)/

type Fields = Record<string, unknown>

/** What has begun and not ended. */
interface Open {
  readonly id: string
  /** The half character at the end of the latest delta, which waits for the other half. */
  half: string
}

/** The kinds of parts: which field has the id, and which event begins one. */
const kinds = {
  text: { idField: 'partId', start: 'start', end: 'end' },
  reasoning: { idField: 'partId', start: 'start', end: 'end' },
  artifact: { idField: 'artifactId', start: 'start', end: 'end' },
  step: { idField: 'stepId', start: 'started', end: 'finished' },
  tool: { idField: 'toolCallId', start: 'started', end: 'finished' },
} as const

type Kind = keyof typeof kinds

/**
 * The events of one run. Promises: each part, tool call, step and artifact that begins ends exactly once, at the latest
 * by {@link close}; no id is used twice; each event fits into the log. Keeps the upstream's ids where it can.
 */
export class ValidEvents {
  readonly #dialect: string
  /** By kind and the upstream's id. */
  readonly #open = new Map<string, Open>()
  /** How often each id of ours was used. */
  readonly #used = new Map<string, number>()

  /** @param dialect names the events that are not of the protocol: `x.<dialect>.<type>` */
  constructor(dialect: string) {
    this.#dialect = dialect
  }

  /** The valid events that a body becomes. */
  of(body: EventBody): EventBody[] {
    if (NOT_OF_AGENTS.test(body.type)) return []
    const [kind = '', verb = ''] = body.type.split('.')
    if (!(kind in kinds)) return this.#checked(body)
    return this.#ofPart(kind as Kind, verb, body)
  }

  /** An event that the protocol does not have. */
  unknown(type: string, data: unknown): EventBody[] {
    const name = type.replace(/[^A-Za-z0-9._-]/g, '-').slice(0, 100) || 'event'
    return this.#checked({ type: `x.${this.#dialect}.${name}`, data: data ?? null })
  }

  /** Ends everything that is open. */
  close(): EventBody[] {
    return [...this.#open.keys()].reverse().flatMap(key => {
      const [kind, id] = key.split(/ (.*)/s) as [Kind, string]
      const rest = { output: 'The run ended before the tool did.', isError: true }
      return this.#ofPart(kind, kinds[kind].end, {
        type: `${kind}.${kinds[kind].end}`,
        data: { [kinds[kind].idField]: id, ...(kind === 'tool' && rest) },
      } as unknown as EventBody)
    })
  }

  #ofPart(kind: Kind, verb: string, body: EventBody): EventBody[] {
    const { idField, start, end } = kinds[kind]
    const data = body.data as unknown as Fields
    const foreign = String(data[idField] ?? '')
    const key = `${kind} ${foreign}`
    if (verb === start) return this.#open.has(key) ? [] : this.#begin(kind, key, foreign, data)
    if (verb === end && !this.#open.has(key) && kind !== 'tool') return []
    const begun = this.#open.has(key) ? [] : this.#begin(kind, key, foreign, data)
    const open = this.#open.get(key) as Open
    if (verb === 'delta') return [...begun, ...this.#deltas(kind, open, String(data['delta'] ?? ''))]
    if (verb === end) this.#open.delete(key)
    const half = open.half === '' ? [] : this.#delta(kind, open, wellFormed(open.half))
    open.half = ''
    return [
      ...begun,
      ...half,
      ...this.#checked({ ...body, data: { ...data, [idField]: open.id } } as EventBody),
    ]
  }

  #begin(kind: Kind, key: string, foreign: string, data: Fields): EventBody[] {
    const { idField, start } = kinds[kind]
    const wanted = safeId(foreign === '' ? kind : foreign)
    const uses = (this.#used.get(`${kind} ${wanted}`) ?? 0) + 1
    this.#used.set(`${kind} ${wanted}`, uses)
    const id = uses === 1 ? wanted : safeId(`${wanted}~${uses}`)
    this.#open.set(key, { id, half: '' })
    const needed = {
      text: {},
      reasoning: {},
      artifact: { kind: String(data['kind'] ?? 'text'), name: String(data['name'] ?? id) },
      step: { name: String(data['name'] ?? id) },
      tool: { toolName: beginning(String(data['toolName'] ?? 'tool'), 256) || 'tool' },
    }[kind]
    const { input: _input, output: _output, isError: _isError, delta: _delta, ...fields } = data
    return this.#checked({
      type: `${kind}.${start}`,
      data: { ...fields, ...needed, [idField]: id },
    } as unknown as EventBody)
  }

  #deltas(kind: Kind, open: Open, delta: string): EventBody[] {
    let text = open.half + delta
    open.half = endsInHalf(text) ? text.slice(-1) : ''
    if (open.half !== '') text = text.slice(0, -1)
    return [...pieces(wellFormed(text), DELTA_UNITS)].flatMap(piece => this.#delta(kind, open, piece))
  }

  #delta(kind: Kind, { id }: Open, delta: string): EventBody[] {
    return this.#checked({
      type: `${kind}.delta`,
      data: { [kinds[kind].idField]: id, delta },
    } as unknown as EventBody)
  }

  /** The body as the protocol takes it; else an event that says what was wrong with it. */
  #checked(body: EventBody): EventBody[] {
    const fitting = this.#fitting(wellFormedValue(body))
    try {
      return [parseEventBody(fitting)]
    } catch (error) {
      if (!(error instanceof TwinrailError)) throw error
      const data = { event: beginning(body.type, 128), message: error.message }
      return [{ type: `x.${this.#dialect}.invalid`, data }]
    }
  }

  #fitting(body: EventBody): EventBody {
    const json = JSON.stringify(body.data) ?? 'null'
    if (Buffer.byteLength(json) <= DATA_BYTES) return body
    const data = body.data as Fields
    const cut = (value: unknown) => `${wellFormed(beginning(asText(value), KEPT_UNITS))}… (cut)`
    if (body.type === 'tool.called')
      return { ...body, data: { ...data, input: cut(data['input']) } } as EventBody
    if (body.type === 'tool.finished')
      return { ...body, data: { ...data, output: cut(data['output']) } } as EventBody
    return {
      type: `x.${this.#dialect}.too-large`,
      data: { event: beginning(body.type, 128), bytes: Buffer.byteLength(json) },
    }
  }
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
}
