/** Where and how clients connect. Plain data, since it comes from another process. */
import type { Variant } from '../guide/findings.ts'
import type { Transport } from '../package/guide.ts'
import type { Dial } from '../peers/peer.ts'

export interface Target {
  readonly transport: Transport
  readonly http: Variant['http']
  readonly tls: boolean
  readonly compressed: boolean
  /** A proxy may cut the body's chunks anew. */
  readonly rechunked: boolean
  readonly port: number
  /** How to subscribe to each session of another server. */
  readonly dials?: readonly Dial[]
}

/** The same target through other ports. */
export const via = (target: Target, ports: ReadonlyMap<number, number>): Target => {
  const other = (port: number) => ports.get(port) ?? port
  const { dials } = target
  return {
    ...target,
    port: other(target.port),
    ...(dials && { dials: dials.map(dial => ({ ...dial, port: other(dial.port) })) }),
  }
}

/** Every port of a target. */
export const portsOf = ({ port, dials }: Target) => dials?.map(dial => dial.port) ?? [port]
