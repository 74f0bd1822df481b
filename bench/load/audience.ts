/** Who is connected in a cell. */
import type { Workload } from '../workloads/workload.ts'
import type { Client } from './client.ts'
import type { Track } from './track.ts'

export interface Audience {
  readonly workload: Workload
  /** Begins the names of its sessions. */
  readonly prefix: string
  readonly clients: readonly Client[]
  /** Those who read at full speed; only what they get is counted. */
  readonly healthy: readonly Client[]
  /** The healthy ones of a session, and what they have of it. */
  followers(session: number): readonly { client: Client; track: Track }[]
  /** Whether ephemeral events reach its clients: they reach live streams only. */
  readonly hearsEphemeral: boolean
}
