/** How a command ends. */
import { ClientError } from '../../client/index.ts'
import { UsageError } from './agent-input.ts'
import type { Screen } from './screen.ts'

export const exitCodes = {
  completed: 0,
  failed: 1,
  /** Bad usage, or the server refused. */
  refused: 2,
  /** Ctrl-C, as shells count it. */
  interrupted: 130,
} as const

/** Says what went wrong; throws again what is no refusal but a defect. */
export function reportError(screen: Screen, url: string, error: unknown): void {
  if (error instanceof UsageError) screen.note(error.message, 'red')
  else if (error instanceof ClientError)
    screen.note(`✗ ${error.code}: ${error.message}${hintOf(error, url)}`, 'red')
  else throw error
}

function hintOf({ code }: ClientError, url: string): string {
  return code === 'connection-lost' ? `. Is there a server at ${url}? \`twinrail serve\` starts one` : ''
}
