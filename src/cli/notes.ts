/** Events that are shown as one line. */
import type { EventOf, KnownType, TwinrailEvent } from '../protocol/index.ts'
import type { Format } from './screen.ts'
import { oneLine } from './text.ts'

export interface Note {
  text: string
  format: Format
}

type Formatter<T extends KnownType> = (data: EventOf<T>['data'], by: string | undefined) => string | Note

const alarm = (text: string): Note => ({ text, format: 'red' })

const formatters: { [T in KnownType]?: Formatter<T> } = {
  'run.started': ({ agent, input }) => `▸ ${agent} ${oneLine(input)}`,
  'run.status': ({ status, message }) => `· ${status}${message ? `: ${oneLine(message)}` : ''}`,
  'run.cancel-requested': () => '· cancelling',
  'step.started': ({ name }) => `▸ ${oneLine(name)}`,
  'step.finished': ({ name }) => `✓ ${oneLine(name)}`,
  'artifact.start': ({ name, kind }) => `▤ ${oneLine(name)} (${oneLine(kind)})`,
  'tool.called': ({ toolName, input }) => `⚙ ${oneLine(toolName)} ${oneLine(input)}`,
  'tool.finished': ({ output, isError }) =>
    isError ? alarm(`✗ ${oneLine(output)}`) : `✓ ${oneLine(output)}`,
  'input.requested': ({ message }) => ({ text: `? ${message}`, format: 'yellow' }),
  'input.answered': ({ value }, by) => `↳ ${oneLine(value)}${by ? ` (${oneLine(by)})` : ''}`,
  'input.expired': () => '↳ nobody answered in time',
  'input.steered': ({ text }) => `↳ ${oneLine(text)}`,
  'input.applied': () => '↳ received by the agent',
}

/** Events without a line: the events around them show the same. */
const silent: ReadonlySet<string> = new Set<KnownType>([
  'text.start',
  'text.end',
  'reasoning.start',
  'reasoning.end',
  'tool.started',
  'tool.delta',
  'artifact.end',
])

/** The line for an event. Unknown types get a generic line. */
export function noteOf({ type, data, by }: TwinrailEvent): Note | undefined {
  if (silent.has(type)) return undefined
  const format = formatters[type as KnownType] as Formatter<KnownType> | undefined
  const note = format ? format(data as never, by) : `· ${oneLine(type)} ${oneLine(data)}`
  return typeof note === 'string' ? { text: note, format: 'dim' } : note
}
