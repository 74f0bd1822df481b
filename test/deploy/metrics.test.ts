/** The metrics of a server that has worked are those of docs/observability.md and of the dashboard. */
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { openWs } from '../fixtures/wire-clients.ts'
import {
  command,
  eventually,
  ingest,
  metric,
  serve,
  startRun,
  terminalOf,
  type Wire,
} from '../fixtures/wire-server.ts'

const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')

const echo = { name: 'echo', description: 'Repeats.', input: {} }

interface Metric {
  type: string
  labels: Set<string>
}

async function metricsOf({ url }: Wire): Promise<Map<string, Metric>> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const found = new Map<string, Metric>()
  for (const [, name = '', type = ''] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    found.set(name, { type, labels: new Set() })
  }
  for (const [, name = '', labels = ''] of text.matchAll(/^(\w+)(?:\{([^}]*)\})? /gm)) {
    const metric = found.get(name) ?? found.get(name.replace(/_(bucket|sum|count)$/, ''))
    for (const [, label = ''] of labels.matchAll(/(\w+)="/g)) if (label !== 'le') metric?.labels.add(label)
  }
  return found
}

/** Runs an agent of the server's own, one of a worker, and one of a producer. */
async function works(t: Test, wire: Wire): Promise<void> {
  const { url } = wire
  await terminalOf(url, 's', await startRun(url, 's', 'playback', { count: 3, rate: 50 }))
  const socket = await openWs(t, url)
  await socket.nextOf('hello')
  await socket.command({ type: 'worker', slots: 2, agents: [echo] })
  const runId = await startRun(url, 's', 'echo', {})
  const work = await socket.nextOf('work')
  t.equal(await metric(wire, 'twinrail_workers'), 1)
  t.equal(await metric(wire, 'twinrail_worker_slots{state="free"}'), 1)
  t.equal(await metric(wire, 'twinrail_worker_slots{state="busy"}'), 1)
  const { workId, sessionId } = work as unknown as Record<string, string>
  const end = { type: 'run.completed', data: { finishReason: 'stop' } }
  await socket.command({ type: 'work.append', sessionId, workId, seq: 1, events: [{ type: 'x.n', data: 1 }] })
  await socket.command({ type: 'work.append', sessionId, workId, seq: 2, events: [end] })
  await terminalOf(url, 's', runId)
  await socket.command({ type: 'worker', slots: 0 })
  const waiting = await startRun(url, 's', 'echo', {})
  t.equal(await metric(wire, 'twinrail_queued_runs'), 1)
  await command(url, 's', { type: 'run.cancel', runId: waiting })
  t.equal(await metric(wire, 'twinrail_queued_runs'), 0)

  const started = {
    type: 'run.started',
    runId: 'p1',
    data: { agent: 'a producer', input: {}, messageId: 'm' },
  }
  const failed = { type: 'run.failed', runId: 'p1', data: { code: 'mine', message: 'No.', retryable: false } }
  await ingest(url, 's', [started, failed], '?producer=p&seq=1')
  await ingest(url, 's', [started, failed], '?producer=p&seq=1')
}

t.test('runs are counted by agent and outcome, and their events timed', async t => {
  const wire = await serve(t)
  await works(t, wire)
  const runs = (agent: string, outcome: string) =>
    metric(wire, `twinrail_runs_total{agent="${agent}",outcome="${outcome}"}`)
  t.equal(await runs('playback', 'completed'), 1)
  t.equal(await runs('echo', 'completed'), 1)
  t.equal(await runs('echo', 'cancelled'), 1)
  t.equal(await runs('other', 'failed'), 1, 'once, though its producer repeated it')
  t.equal(await runs('a producer', 'failed'), undefined)
  for (const agent of ['playback', 'echo']) {
    t.equal(await metric(wire, `twinrail_run_first_event_seconds_count{agent="${agent}"}`), 1)
    t.ok(((await metric(wire, `twinrail_run_event_gap_seconds_count{agent="${agent}"}`)) ?? 0) >= 1)
  }
  const span = (await metric(wire, 'twinrail_run_event_gap_seconds_sum{agent="playback"}')) ?? 0
  t.ok(span >= 0.03, `three events at 50 per second: ${span} s`)
})

t.test('a run whose producer is gone is counted as failed', async t => {
  const wire = await serve(t, { producerLeaseMs: 60, leaseMs: 60 })
  const data = { agent: 'gone', input: {}, messageId: 'm' }
  await ingest(wire.url, 's', { type: 'run.started', runId: 'p1', data })
  await terminalOf(wire.url, 's', 'p1')
  await eventually(
    t,
    'counted',
    async () => (await metric(wire, 'twinrail_run_takeovers_total{how="failed"}')) === 1,
  )
})

t.test('docs/observability.md and the dashboard have every metric', async t => {
  const wire = await serve(t)
  await works(t, wire)
  // Both have entries only after what they count.
  await fetch(`${wire.url}/v1/sessions/none`, { headers: { origin: 'https://elsewhere.example' } })
  const metrics = await metricsOf(wire)
  const own = [...metrics].filter(([name]) => name.startsWith('twinrail_'))

  const rows = [...read('docs/observability.md').matchAll(/^\| `(twinrail_\w+)` \| (\w+) \| (.*?) \|/gm)]
  const documented = new Map(rows.map(([, name = '', type = '', labels = '']) => [name, { type, labels }]))
  t.same([...documented.keys()].sort(), own.map(([name]) => name).sort())
  for (const [name, { type, labels }] of own) {
    const row = documented.get(name)
    t.equal(row?.type, type, name)
    const told = new Set([...(row?.labels ?? '').matchAll(/`(\w+)`/g)].map(([, label]) => label))
    for (const label of labels) t.ok(told.has(label), `${name}: ${label}`)
  }

  interface Panel {
    id: number
    title: string
    type: string
    targets?: { expr: string }[]
    gridPos: { x: number; y: number; w: number; h: number }
  }
  const { panels } = JSON.parse(read('deploy/grafana/twinrail.json')) as { panels: Panel[] }
  const shown = new Set<string>()
  for (const { title, targets = [], type } of panels) {
    t.equal(targets.length > 0, type !== 'row', title)
    for (const { expr } of targets) {
      const names = [...expr.matchAll(/\b((?:twinrail|process|nodejs)_\w+)\b/g)].map(([, name = '']) => name)
      t.ok(names.length > 0, expr)
      for (const name of names) {
        const base = name.replace(/_(bucket|sum|count)$/, '')
        const isThere = metrics.has(name) || metrics.get(base)?.type === 'histogram'
        t.ok(isThere, `${title}: ${name}`)
        shown.add(metrics.has(name) ? name : base)
      }
      for (const [, list = ''] of expr.matchAll(/\bby \(([^)]*)\)/g)) {
        for (const label of list.split(', ')) {
          const known = names.some(name => metrics.get(name)?.labels.has(label) ?? false)
          const ofBuckets = names.some(name => metrics.get(name.replace(/_bucket$/, ''))?.labels.has(label))
          t.ok(
            known || ofBuckets || ['le', 'instance', 'reason', 'code', 'what'].includes(label),
            `${expr}: ${label}`,
          )
        }
      }
    }
  }
  t.same(
    own.map(([name]) => name).filter(name => !shown.has(name)),
    [],
    'every metric is in a panel',
  )
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
  for (const { gridPos, title } of panels) t.ok(gridPos.x + gridPos.w <= 24, title)
})
