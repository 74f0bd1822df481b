/** Metrics in Prometheus text format. Labels never name a session, run or client. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { type LimitName, type LimitOf, limitNames } from './auth/limits.ts'
import type { Bus } from './bus/bus.ts'
import type { Journal, LogSize } from './bus/journal.ts'
import type { BusObserver } from './bus/observer.ts'
import { outcomes, type RunObserver, takeovers } from './sessions/run-meter.ts'
import type { Sessions } from './sessions/sessions.ts'
import { type Connections, type TransportName, transportNames } from './transports/connections.ts'
import type { LossReason } from './transports/context.ts'

/** What the gauges read when metrics are requested. */
export interface Measured {
  readonly journal: Journal
  readonly bus: Bus
  readonly sessions: Sessions
  readonly connections: Connections
  /** What answers are booked with that are made or not read yet. */
  readonly answers: { readonly bytes: number }
}

export interface Metrics {
  /** Counts events of the bus. */
  readonly observer: BusObserver
  /** Counts and times runs. */
  readonly runs: RunObserver
  /** Counts connections that the server closed for a fault. */
  lost(transport: TransportName, reason: LossReason): void
  /** Counts pings without an answer before the next ping. */
  missedHeartbeat(): void
  /** Counts entries of the audit log. */
  audited(entry: { what: string; code?: string }): void
  /** Counts refusals by a limit of a principal or an address. */
  limited(limit: LimitName, of: LimitOf): void
  /** Sets the source of the gauges. Called once. */
  measure(measured: Measured): void
  readonly contentType: string
  text(): Promise<string>
}

/** Gives the metrics of all processes that share a server's port; undefined where there is one process. */
let ofAll: (() => Promise<string>) | undefined

/** The metrics of the newest server. */
let newest: Registry | undefined

/** From now on, the servers of this process tell these metrics. */
export function tellMetrics(ask: () => Promise<string>): void {
  ofAll = ask
}

/** The registries of this process: that of its newest server, and that of Node. */
export function registriesOfProcess(): Registry[] {
  return [...(newest ? [newest] : []), processMetrics()]
}

/** Bounds of the times of runs, in seconds. */
const RUN_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** Creates the metrics of one server. Servers in one process do not share numbers. */
export function createMetrics(): Metrics {
  const register = new Registry()
  newest = register
  const registers = [register]
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name: `twinrail_${name}`, help, labelNames, registers })

  const events = counter('delivered_events_total', 'Events sent to live subscribers')
  const replayed = counter('replayed_events_total', 'Events sent to subscribers that were catching up')
  const folded = counter('folded_events_total', 'Events sent as part of a folded event')
  const skipped = counter('skipped_events_total', 'Events that subscribers with lag=skip did not get')
  const dropped = counter('dropped_ephemeral_events_total', 'Ephemeral events dropped')
  const held = counter('producer_holds_total', 'Times that slow subscribers with lag=wait held producers')
  const lost = counter('lost_connections_total', 'Connections that the server closed for a fault', [
    'transport',
    'reason',
  ])
  // Without a 0 before the first loss, a rate misses that loss.
  for (const transport of transportNames) lost.inc({ transport, reason: 'stalled' }, 0)
  for (const transport of ['sse', 'websocket'] as const) lost.inc({ transport, reason: 'too-slow' }, 0)
  for (const reason of ['silent', 'incomplete'] as const) lost.inc({ transport: 'websocket', reason }, 0)
  const audits = counter(
    'audit_total',
    'Entries of the audit log: refusals, rights lost while a stream was open, connections, tickets, revocations, deletions',
    ['what', 'code'],
  )
  const limited = counter(
    'rate_limited_total',
    'Refusals since a principal, or the clients of an address together, did or had too much',
    ['limit', 'of'],
  )
  for (const limit of limitNames) limited.inc({ limit, of: 'principal' }, 0)
  const missed = counter(
    'missed_heartbeats_total',
    'Pings to which a WebSocket client showed no sign of life',
  )
  const batch = new Histogram({
    name: 'twinrail_batch_events',
    help: 'Events written together to live subscribers',
    buckets: [1, 2, 5, 10, 20, 50, 100, 500],
    registers,
  })
  const delay = new Histogram({
    name: 'twinrail_append_to_write_seconds',
    help: "From an event's arrival in this process to its write to live subscribers",
    buckets: [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5],
    registers,
  })

  const ended = counter('runs_total', 'Runs whose terminal event this server has appended', [
    'agent',
    'outcome',
  ])
  const ofRuns = (name: string, help: string) =>
    new Histogram({
      name: `twinrail_${name}`,
      help,
      labelNames: ['agent'],
      buckets: RUN_SECONDS,
      registers,
    })
  const first = ofRuns('run_first_event_seconds', 'From the start of a run to its next event')
  const gap = ofRuns('run_event_gap_seconds', 'Between two appends of events of a run')
  const takenOver = counter(
    'run_takeovers_total',
    'Runs whose process or worker was gone: resumed here, queued for another worker, or failed',
    ['how'],
  )
  for (const how of takeovers) takenOver.inc({ how }, 0)

  return {
    contentType: register.contentType,
    text: async () => (ofAll ? ofAll() : `${await register.metrics()}\n${await processMetrics().metrics()}`),
    observer: {
      batch(count, receivers, delayMs) {
        events.inc(count * receivers)
        batch.observe(count)
        delay.observe(delayMs / 1000)
      },
      caughtUp(count, sent) {
        replayed.inc(sent)
        if (count > sent) folded.inc(count - sent)
      },
      skipped: count => skipped.inc(count),
      dropped: count => dropped.inc(count),
      held: () => held.inc(),
    },
    runs: {
      ended: (agent, outcome) =>
        ended.inc({ agent, outcome: outcomes.includes(outcome) ? outcome : 'failed' }),
      first: (agent, ms) => first.observe({ agent }, ms / 1000),
      gap: (agent, ms) => gap.observe({ agent }, ms / 1000),
      takenOver: how => takenOver.inc({ how }),
    },
    lost: (transport, reason) => lost.inc({ transport, reason }),
    missedHeartbeat: () => missed.inc(),
    audited: ({ what, code = '' }) => audits.inc({ what, code }),
    limited: (limit, of) => limited.inc({ limit, of }),
    measure: measured => gauges(register, measured),
  }
}

let ofProcess: Registry | undefined

/** Metrics of the process: memory, event loop and garbage collection. Created at the first request. */
function processMetrics(): Registry {
  if (!ofProcess) {
    ofProcess = new Registry()
    collectDefaultMetrics({ register: ofProcess })
  }
  return ofProcess
}

/** Gauges, which are read at each request. */
function gauges(register: Registry, { journal, bus, sessions, connections, answers }: Measured): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `twinrail_${name}`,
      help,
      registers: [register],
      collect() {
        this.set(read())
      },
    })
  const lags = () => [...bus.subscriptions()].map(subscription => subscription.lag)
  const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0)

  const byTransport = (name: string, help: string, read: (transport: TransportName) => number) =>
    new Gauge({
      name: `twinrail_${name}`,
      help,
      labelNames: ['transport'],
      registers: [register],
      collect() {
        for (const transport of transportNames) this.set({ transport }, read(transport))
      },
    })
  const on = (transport: TransportName) => [...connections].filter(open => open.transport === transport)
  byTransport('connections', 'Open connections', transport => on(transport).length)
  byTransport('subscriptions', 'Open subscriptions', transport =>
    sum(on(transport).map(open => open.subscriptions)),
  )
  byTransport('buffered_bytes', 'Bytes that wait in socket buffers', transport =>
    sum(on(transport).map(open => open.waitingBytes)),
  )
  gauge(
    'unread_answer_bytes',
    'Bytes of answers that are made or not read yet; at least 1 MiB each until their size is known',
    () => answers.bytes,
  )
  new Counter({
    name: 'twinrail_log_incidents_total',
    help: 'Incidents of the log: a commit without room (full) or that failed (failed-commit), a subscriber that said nothing (silent-subscriber), a Redis that is not the master (not-master), an append refused since the log is over its size limit (over-limit)',
    labelNames: ['kind'],
    registers: [register],
    collect() {
      this.reset()
      for (const [kind, count] of Object.entries(journal.counts())) this.inc({ kind }, count)
    },
  })
  const logSize = (name: string, help: string, read: (size: LogSize) => number) =>
    new Gauge({
      name: `twinrail_${name}`,
      help,
      registers: [register],
      // All processes have one log.
      aggregator: 'max',
      async collect() {
        // A log that cannot be asked, or does not tell, has no size now.
        const size = await journal.size().catch(() => undefined)
        this.set(size ? read(size) : Number.NaN)
      },
    })
  logSize('log_bytes', 'Size of the log, by the measure of its driver', ({ bytes }) => bytes)
  logSize('log_max_bytes', 'Size of the log from which on it refuses appends', ({ maxBytes }) => maxBytes)
  gauge('processes', 'Processes that serve the port', () => 1)
  gauge('followed_sessions', 'Sessions with subscribers in this process', () => bus.topics)
  gauge('active_runs', 'Runs of this process without a terminal event', () => sessions.runner.active)
  gauge('workers', 'Workers that are connected to this server', () => sessions.workers.figures.connected)
  new Gauge({
    name: 'twinrail_worker_slots',
    help: 'Slots for runs of the workers that are connected to this server: free, or busy with a run',
    labelNames: ['state'],
    registers: [register],
    collect() {
      const { free, busy } = sessions.workers.figures
      this.set({ state: 'free' }, free)
      this.set({ state: 'busy' }, busy)
    },
  })
  gauge('queued_runs', 'Runs that wait for a worker on this server', () => sessions.workers.figures.queued)
  gauge(
    'lagging_subscriptions',
    'Subscriptions behind the head',
    () => lags().filter(lag => lag.events > 0).length,
  )
  gauge('lag_events', 'Events behind the head, summed over all subscriptions', () =>
    sum(lags().map(lag => lag.events)),
  )
  gauge('lag_bytes', 'Bytes of event JSON behind the head, summed over all subscriptions', () =>
    sum(lags().map(lag => lag.bytes)),
  )
}
