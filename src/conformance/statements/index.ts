/** Every statement, in the order of their numbers. */
import type { Statement } from '../statement.ts'
import { commands } from './commands.ts'
import { cursors } from './cursors.ts'
import { http } from './http.ts'
import { subscribing } from './subscribing.ts'
import { transports } from './transports.ts'

export const statements: readonly Statement[] = [
  ...cursors,
  ...subscribing,
  ...transports,
  ...http,
  ...commands,
]
