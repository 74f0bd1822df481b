/** Where clients connect to, and how. Plain data: it comes from another process. */
import type { Rail, Variant } from '../guide/findings.ts'
import type { Dial } from '../peers/peer.ts'

export interface Target {
  readonly rail: Rail
  readonly http: Variant['http']
  readonly tls: boolean
  readonly compressed: boolean
  /** Something in between may cut the body's chunks anew. */
  readonly rechunked: boolean
  readonly port: number
  /** How to subscribe to each session, where the server is not ours. */
  readonly dials?: readonly Dial[]
}

/** The same through other ports, of which there is one for each. */
export const via = (target: Target, ports: ReadonlyMap<number, number>): Target => {
  const other = (port: number) => ports.get(port) ?? port
  const { dials } = target
  return {
    ...target,
    port: other(target.port),
    ...(dials && { dials: dials.map(dial => ({ ...dial, port: other(dial.port) })) }),
  }
}

/** Every port of it. */
export const portsOf = ({ port, dials }: Target) => dials?.map(dial => dial.port) ?? [port]
