/** What parts of all types have in common: their ids, how they begin, and how the end of their run closes them. */

/** A part of any type, with fields that only some types have. */
export interface AnyPart {
  type: string
  state: string
  text?: string
  inputText?: string
  [field: string]: unknown
}

/** A question may name the tool call that it is about, so its own id comes first. */
export const keyOf = (part: AnyPart) =>
  part['requestId'] ?? part['partId'] ?? part['artifactId'] ?? part['toolCallId'] ?? part['stepId']

/** Parts that are open in these states are closed by the end of their run, in the state given here. */
export const closedAs: Readonly<Record<string, string>> = {
  running: 'done',
  started: 'closed',
  called: 'closed',
  open: 'closed',
}

/** Whether the part may go on. */
export const isOpen = ({ state }: { state: string }) => state in closedAs

/** What a part has before its events say more. */
export function newPart(
  type: string,
  id: string | undefined,
  runId: string,
): { state: string; [field: string]: unknown } {
  switch (type) {
    case 'text':
    case 'reasoning':
      return { partId: id, role: 'assistant', text: '', state: 'running' }
    case 'artifact':
      return { artifactId: id, kind: '', name: '', text: '', state: 'running' }
    case 'tool':
      return { toolCallId: id, toolName: '', inputText: '', state: 'started' }
    case 'step':
      return { stepId: id, name: '', state: 'running' }
    case 'question':
      return { requestId: id, kind: 'question', message: '', runId, state: 'open' }
    default:
      return { state: 'running' }
  }
}
