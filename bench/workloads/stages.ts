/** The processes of a run: one for each kind of server, kept to the end and so warm, one that loads, one proxy. */
import { createServer } from 'node:net'
import type { Path, Variant } from '../guide/findings.ts'
import type { handlers as Clients } from '../load/clients.ts'
import type { handlers as Commands } from '../load/commands.ts'
import type { handlers as CountingProxy } from '../load/counting-proxy.ts'
import type { Target } from '../load/target.ts'
import type { PeerName } from '../peers/index.ts'
import { listen } from '../peers/peer.ts'
import type { handlers as Server, StageAsked } from '../server/stage.ts'
import { startWorker, type Worker } from '../worker.ts'
import type { Certificate } from './certificate.ts'
import { type Nginx, startNginx } from './nginx.ts'

/** A server and how to reach it. */
export interface Stage {
  readonly server: Worker<typeof Server>
  readonly target: Target
  readonly orders: number
}

/** What a variant's server is started with. */
export function serverOf({ server, rail, compressed, tls }: Variant, certificate: Certificate): StageAsked {
  if (server === 'floor') return { peer: rail === 'sse' ? 'floor SSE' : 'floor WebSocket' }
  if (server !== 'twinrail') return { peer: server as PeerName }
  return { compression: compressed, ...(tls && { tls: certificate }) }
}

export class Stages {
  readonly load = startWorker<typeof Clients>('load/clients')
  readonly proxy = startWorker<typeof CountingProxy>('load/counting-proxy')
  readonly commands = startWorker<typeof Commands>('load/commands')
  readonly #certificate: Certificate
  readonly #servers = new Map<string, Promise<Omit<Stage, 'target'> & { port: number }>>()
  readonly #nginxes = new Map<string, Promise<Nginx>>()

  constructor(certificate: Certificate) {
    this.#certificate = certificate
  }

  /** The variant's server, started when it is asked for the first time. */
  async of(variant: Variant): Promise<Stage> {
    const { path, rail, http, tls, compressed } = variant
    // Variants that differ in nothing but the proxy have one server.
    const key = [variant.server, rail, http, tls, compressed].join()
    const starting = this.#servers.get(key) ?? this.#start(variant)
    this.#servers.set(key, starting)
    const { server, orders, port } = await starting
    const reached = path === 'direct' ? port : await this.#through(path, port)
    const rechunked = path !== 'direct'
    return { server, orders, target: { rail, http, tls, compressed, rechunked, port: reached } }
  }

  async stop(): Promise<void> {
    const servers = await Promise.allSettled(this.#servers.values())
    const nginxes = await Promise.allSettled(this.#nginxes.values())
    const workers = [
      this.load,
      this.proxy,
      this.commands,
      ...servers.flatMap(started => (started.status === 'fulfilled' ? [started.value.server] : [])),
    ]
    await Promise.all([
      ...workers.map(worker => worker.stop()),
      ...nginxes.flatMap(started => (started.status === 'fulfilled' ? [started.value.stop()] : [])),
    ])
  }

  async #start(variant: Variant) {
    const server = startWorker<typeof Server>('server/stage', ['--expose-gc'])
    const { port, orders } = await server.call.open(serverOf(variant, this.#certificate))
    return { server, port, orders }
  }

  async #through(path: Exclude<Path, 'direct'>, upstream: number): Promise<number> {
    const key = `${path} ${upstream}`
    const starting = this.#nginxes.get(key) ?? freePort().then(port => startNginx(path, upstream, port))
    this.#nginxes.set(key, starting)
    return (await starting).port
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  const port = await listen(server)
  await new Promise(resolve => server.close(resolve))
  return port
}
