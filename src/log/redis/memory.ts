/** How much memory the data in Redis takes, without asking it at each append. */
import type { RedisClient } from './client.ts'
import type { Connection } from './connection.ts'

/** Redis is asked again after so long, in ms. */
const LOOK_MS = 500

export class RedisMemory {
  readonly #commands: Connection
  #bytes = 0
  #until = -Infinity
  #looking: Promise<void> | undefined

  constructor(commands: Connection) {
    this.#commands = commands
  }

  /**
   * `used_memory_dataset` of Redis, of all masters of a Cluster together, with what this process added since it was asked.
   * Unlike `used_memory` it leaves out the buffers of clients, which come and go.
   * @throws TwinrailError `unavailable`
   */
  async bytes(): Promise<number> {
    if (performance.now() >= this.#until) {
      this.#looking ??= this.#look().finally(() => {
        this.#looking = undefined
      })
      await this.#looking
    }
    return this.#bytes
  }

  /** So many bytes are being written. */
  add(bytes: number): void {
    this.#bytes += bytes
  }

  /** Something was freed: Redis is asked at the next look. */
  freed(): void {
    this.#until = -Infinity
  }

  async #look(): Promise<void> {
    this.#bytes = await this.#commands.send(dataset)
    this.#until = performance.now() + LOOK_MS
  }
}

async function dataset(client: RedisClient): Promise<number> {
  const masters = client.nodes?.('master') ?? [client]
  const texts = await Promise.all(masters.map(master => master.info('memory')))
  return texts.reduce((sum, text) => sum + Number(/^used_memory_dataset:(\d+)/m.exec(text)?.[1] ?? 0), 0)
}
