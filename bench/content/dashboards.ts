/** Dashboards: what a service's monitoring tells, for many services, a session each. */
import { seeded } from '../random.ts'
import type { Content } from './content.ts'

const NAMES = [
  'gateway',
  'search',
  'billing',
  'accounts',
  'mail',
  'images',
  'queue',
  'reports',
  'models',
  'storage',
]

/** A day passes in so many ms: its shape shows within a run. */
const DAY_MS = 120_000

const digits = (value: number) => Number(value.toPrecision(4))

/**
 * The metrics of one service at a fixed interval: requests rise and fall with the day, delays rise with the load, memory
 * grows until the service is started again. Services report at different moments.
 * @param service from 0 on
 * @param intervalMs @default 1000
 */
export function* dashboard(seed: number, service: number, intervalMs = 1000): Content {
  const random = seeded(seed * 1009 + service)
  const name = `${NAMES[service % NAMES.length]}-${Math.floor(service / NAMES.length) + 1}`
  const capacity = 200 + random() * 1800
  const hour = random() * DAY_MS
  let drift = 0
  let memory = 120
  for (let atMs = Math.floor(random() * intervalMs); ; atMs += intervalMs) {
    drift = 0.95 * drift + 0.1 * (random() - 0.5)
    const day = 0.5 - 0.4 * Math.cos((2 * Math.PI * (atMs + hour)) / DAY_MS)
    const load = Math.min(0.97, Math.max(0.02, day + drift))
    // As in a queue: who is busy for 90 % of the time lets wait ten times as long.
    const p50 = 4 / (1 - load)
    memory = memory > 900 ? 120 : memory + random() * 6
    const data = {
      service: name,
      requestsPerSecond: digits(capacity * load),
      p50Ms: digits(p50),
      p99Ms: digits(p50 * (4 + random())),
      errorRate: digits(load > 0.9 ? (load - 0.9) * random() : 0.001 * random()),
      cpu: digits(load),
      memoryMiB: digits(memory),
    }
    yield { atMs, type: 'x.metrics', data }
  }
}
