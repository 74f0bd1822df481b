/** The variants (ways for clients to connect), and which of them each workload is run on. */
import type { LeftOut, Path, Variant } from '../guide/findings.ts'
import type { Transport } from '../package/guide.ts'
import type { WorkloadName } from './workload.ts'

const variant = (name: string, transport: Transport, difference: Partial<Variant> = {}): Variant => ({
  name,
  transport,
  server: 'twinrail',
  http: '1.1',
  tls: false,
  compressed: false,
  path: 'direct',
  ...difference,
})

const plain = [variant('SSE', 'sse'), variant('WebSocket', 'websocket'), variant('long-poll', 'long-poll')]

const through = (path: Path) =>
  plain.map(({ name, transport }) => variant(`${name}, ${path}`, transport, { path }))

const oneConnection = variant('SSE, HTTP/2, one connection', 'sse', { http: '2, one connection', tls: true })

const floor = [
  variant('floor SSE', 'sse', { server: 'floor' }),
  variant('floor WebSocket', 'websocket', { server: 'floor' }),
]

const peers = [
  variant('fastify-sse-v2', 'sse', { server: 'fastify-sse-v2' }),
  variant('better-sse', 'sse', { server: 'better-sse' }),
  variant('ws', 'websocket', { server: 'ws' }),
  variant('socket.io', 'websocket', { server: 'socket.io' }),
]

const matrix = [
  variant('SSE, compressed', 'sse', { compressed: true }),
  variant('WebSocket, compressed', 'websocket', { compressed: true }),
  variant('SSE, TLS', 'sse', { tls: true }),
  variant('WebSocket, TLS', 'websocket', { tls: true }),
  variant('SSE, HTTP/2, a connection each', 'sse', { http: '2, a connection each', tls: true }),
  oneConnection,
]

/** What a cell measures besides delays, CPU and bytes. */
export interface Extras {
  readonly knee?: boolean
  readonly slow?: boolean
  readonly storm?: boolean
  readonly autocannon?: boolean
}

/** One workload on one variant. */
export interface CellPlan extends Extras {
  readonly workload: WorkloadName
  readonly variant: Variant
}

/** The cells of a workload; fewer with `quick`. */
export function cellsOf(workload: WorkloadName, quick: boolean): CellPlan[] {
  return variantsOf(workload, quick).map(variant => ({ workload, variant, ...extrasOf(workload, variant) }))
}

/** What is not measured for lack of time; the report lists it. */
export function leftOutOf(quick: boolean): LeftOut[] {
  const hours = 'With everything on every workload a run would take hours.'
  const short = 'A quick run has no time for it.'
  const missing: [workload: string, variant: string, why: string][] = [
    ['all but chat', 'compression, TLS and HTTP/2 (but for dashboards over one connection)', hours],
    ['all but buffered', 'nginx', hours],
    ['all but chat and training', 'other servers and the floor', hours],
    ['all but chat and binary', 'slow readers', hours],
    ['all but chat and mobile', 'reconnect storms', hours],
    ['all but chat', 'the knee', hours],
  ]
  const missingQuick: typeof missing = [
    ['chat', 'other servers, and HTTP/2 with a connection each', short],
    ['training', 'other servers and the floor', short],
    ['buffered', 'long-poll through nginx', short],
  ]
  return [...missing, ...(quick ? missingQuick : [])].map(([workload, variant, why]) => ({
    workload,
    variant,
    why,
    impossible: false,
  }))
}

/** HTTP/2 with a connection each differs from TLS alone only in its framing. */
const forQuick = ({ http }: Variant) => http !== '2, a connection each'

function variantsOf(workload: WorkloadName, quick: boolean): Variant[] {
  switch (workload) {
    case 'chat':
      return [...plain, ...floor, ...(quick ? matrix.filter(forQuick) : [...matrix, ...peers])]
    case 'training':
      return quick ? plain : [...plain, ...floor, ...peers]
    case 'dashboards':
      return [...plain, oneConnection]
    case 'buffered':
      return [...plain, ...through('nginx as it comes'), ...through('nginx as documented')].filter(
        ({ transport, path }) => !quick || path === 'direct' || transport !== 'long-poll',
      )
    default:
      return plain
  }
}

function extrasOf(workload: WorkloadName, { name, transport, server }: Variant): Extras {
  const isPlain = plain.some(variant => variant.name === name)
  const ours = server === 'twinrail'
  return {
    knee: workload === 'chat' && (isPlain || !ours),
    // A slow reader on long-poll is a client that polls less often.
    slow: (workload === 'chat' || workload === 'binary') && isPlain && transport !== 'long-poll',
    storm: (workload === 'chat' || workload === 'mobile') && isPlain,
    autocannon: (workload === 'editing' || workload === 'game') && name === 'SSE',
  }
}

/** The variants whose idle memory is measured. */
export function memoryVariants(quick: boolean): Variant[] {
  return quick ? plain : [...plain, ...matrix, ...peers]
}
