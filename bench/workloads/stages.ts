/** The processes of a run: one for each kind of server, kept to the end so that its code is warm; load, proxy and autocannon. */
import { readFileSync } from 'node:fs'
import type { Path, Variant } from '../guide/findings.ts'
import type { handlers as Commands } from '../load/autocannon-process.ts'
import type { handlers as Clients } from '../load/client-process.ts'
import type { handlers as CountingProxy } from '../load/counting-proxy-process.ts'
import type { Target } from '../load/target.ts'
import type { PeerName } from '../peers/index.ts'
import { freePort } from '../peers/peer.ts'
import type { handlers as Server, StageOptions } from '../server/stage.ts'
import { startWorker, type Worker } from '../worker.ts'
import { type Nginx, startNginx } from './nginx.ts'

/** Reads the key and the certificate of the tests, which the load does not verify. */
const readPem = (file: 'key' | 'cert') =>
  readFileSync(new URL(`../../test/fixtures/tls/${file}.pem`, import.meta.url), 'utf8')

/** The options of a server with TLS. */
export const testTls = () => ({ key: readPem('key'), cert: readPem('cert') })

/** A server and how to reach it. */
export interface Stage {
  readonly server: Worker<typeof Server>
  readonly target: Target
  readonly orders: number
}

/** The options of a variant's server. */
export function serverOf({ server, transport, compressed, tls }: Variant): StageOptions {
  if (server === 'floor') return { peer: transport === 'sse' ? 'floor SSE' : 'floor WebSocket' }
  if (server !== 'twinrail') return { peer: server as PeerName }
  return { compression: compressed, ...(tls && { tls: testTls() }) }
}

export class Stages {
  readonly load = startWorker<typeof Clients>('load/client-process')
  readonly proxy = startWorker<typeof CountingProxy>('load/counting-proxy-process')
  readonly commands = startWorker<typeof Commands>('load/autocannon-process')
  readonly #servers = new Map<string, Promise<Omit<Stage, 'target'> & { port: number }>>()
  readonly #nginxes = new Map<string, Promise<Nginx>>()

  /** The variant's server, started at its first use. */
  async of(variant: Variant): Promise<Stage> {
    const { path, transport, http, tls, compressed } = variant
    // Variants that differ only in the proxy share a server.
    const key = [variant.server, transport, http, tls, compressed].join()
    const starting = this.#servers.get(key) ?? this.#start(variant)
    this.#servers.set(key, starting)
    const { server, orders, port } = await starting
    const reached = path === 'direct' ? port : await this.#through(path, port)
    const rechunked = path !== 'direct'
    return { server, orders, target: { transport, http, tls, compressed, rechunked, port: reached } }
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
    const { port, orders } = await server.call.open(serverOf(variant))
    return { server, port, orders }
  }

  async #through(path: Exclude<Path, 'direct'>, upstream: number): Promise<number> {
    const key = `${path} ${upstream}`
    const starting = this.#nginxes.get(key) ?? freePort().then(port => startNginx(path, upstream, port))
    this.#nginxes.set(key, starting)
    return (await starting).port
  }
}
