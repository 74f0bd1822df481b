/** Events that one line says everything about. */
import type { EventOf, KnownType, TwinrailEvent } from '../protocol/index.ts'
import type { Format } from './screen.ts'
import { oneLine } from './text.ts'

export interface Note {
  text: string
  format: Format
}

type Teller<T extends KnownType> = (data: EventOf<T>['data'], by: string | undefined) => string | Note

const alarm = (text: string): Note => ({ text, format: 'red' })

const tellers: { [T in KnownType]?: Teller<T> } = {
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
  'input.applied': () => '↳ taken up',
}

/** Announced or framed by their neighbours, so not worth a line. */
const silent: ReadonlySet<string> = new Set<KnownType>([
  'text.start',
  'text.end',
  'reasoning.start',
  'reasoning.end',
  'tool.started',
  'tool.delta',
  'artifact.end',
])

/** The line for an event; types that are not known here get one as well. */
export function noteOf({ type, data, by }: TwinrailEvent): Note | undefined {
  if (silent.has(type)) return undefined
  const teller = tellers[type as KnownType] as Teller<KnownType> | undefined
  const told = teller ? teller(data as never, by) : `· ${oneLine(type)} ${oneLine(data)}`
  return typeof told === 'string' ? { text: told, format: 'dim' } : told
}
