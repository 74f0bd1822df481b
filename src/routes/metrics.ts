/** Metrics in Prometheus' text form. No session, run or client ever becomes a label. */
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { TransportContext } from '../transports/context.ts'

/** Gives the server's own registry: several servers in one process don't share numbers. */
export function metricsText({ bus, sessions, connections }: TransportContext): {
  contentType: string
  text(): Promise<string>
} {
  const register = new Registry()
  collectDefaultMetrics({ register })
  new Gauge({
    name: 'twinrail_connections',
    help: 'Open connections',
    labelNames: ['transport'],
    registers: [register],
    collect() {
      for (const transport of ['sse', 'websocket'] as const) {
        this.set({ transport }, connections.count(transport))
      }
    },
  })
  new Gauge({
    name: 'twinrail_followed_sessions',
    help: 'Sessions that somebody follows in this process',
    registers: [register],
    collect() {
      this.set(bus.topics)
    },
  })
  new Gauge({
    name: 'twinrail_active_runs',
    help: 'Runs of this process that have no terminal yet',
    registers: [register],
    collect() {
      this.set(sessions.runner.active)
    },
  })
  return { contentType: register.contentType, text: () => register.metrics() }
}
