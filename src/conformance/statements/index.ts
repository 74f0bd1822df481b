/** Every statement, in the order of their numbers. */
import type { Statement } from '../statement.ts'
import { commands } from './commands.ts'
import { credentials } from './credentials.ts'
import { cursors } from './cursors.ts'
import { http } from './http.ts'
import { lagging } from './lagging.ts'
import { producers } from './producers.ts'
import { runs } from './runs.ts'
import { subscribing } from './subscribing.ts'
import { transports } from './transports.ts'
import { workers } from './workers.ts'

export const statements: readonly Statement[] = [
  ...cursors,
  ...subscribing,
  ...transports,
  ...http,
  ...commands,
  ...runs,
  ...lagging,
  ...producers,
  ...credentials,
  ...workers,
]
