/** Exit codes, and how errors are reported. */
import { ClientError } from '../../client/index.ts'
import { UsageError } from './agent-input.ts'
import type { Screen } from './screen.ts'

export const exitCodes = {
  completed: 0,
  failed: 1,
  /** Wrong usage, or a refusal by the server. */
  refused: 2,
  /** Ctrl-C, as shells count it. */
  interrupted: 130,
} as const

/** Prints a refusal. Any other error is a defect and is thrown again. */
export function reportError(screen: Screen, url: string, error: unknown): void {
  if (error instanceof UsageError) screen.note(error.message, 'red')
  else if (error instanceof ClientError)
    screen.note(`✗ ${error.code}: ${error.message}${hintOf(error, url)}`, 'red')
  else throw error
}

function hintOf({ code }: ClientError, url: string): string {
  if (code === 'connection-lost') return `. Is there a server at ${url}? \`twinrail serve\` starts one`
  return code === 'unauthorized' ? '. Give a token or an API key: TWINRAIL_TOKEN, or --token' : ''
}
