/** The workloads on small settings: real servers, processes and sockets. Only counts are checked, so speed does not matter. */
import { execFile } from 'node:child_process'
import { Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { Progress } from '../progress.ts'
import type { Lengths } from '../workloads/cell-round.ts'
import { playCell } from '../workloads/cell-round.ts'
import { isInstalled } from '../workloads/nginx.ts'
import { runWorkloads } from '../workloads/run.ts'
import { Stages } from '../workloads/stages.ts'
import { type CellPlan, cellsOf } from '../workloads/variants.ts'
import { type WorkloadName, workloadNames } from '../workloads/workload.ts'

const SEED = 7

/** Workloads whose clients send commands. */
const SENDING: readonly WorkloadName[] = ['editing', 'game', 'approvals']

const lengths: Lengths = {
  warmUp: 50,
  bytes: 100,
  delays: 300,
  storm: 200,
  slow: 100,
  knee: 50,
  autocannon: 1000,
  probes: 1,
}

const main = fileURLToPath(new URL('../main.ts', import.meta.url))

const silent = () =>
  new Progress('test', new Writable({ write: (_c, _e, done) => done() }) as NodeJS.WriteStream)

/** Runs the command, which must fail. */
async function fails(args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  try {
    await promisify(execFile)(process.execPath, ['--import', 'tsx', main, ...args], { maxBuffer: 2 ** 26 })
  } catch (error) {
    return error as { code: number; stdout: string; stderr: string }
  }
  throw new Error(`${args.join(' ')}: expected it to fail`)
}

/** Chat on every variant, editing and approvals on every transport, the others on one transport each, in turn. */
function cellsToPlay(workload: WorkloadName, index: number): CellPlan[] {
  const cells = cellsOf(workload, true).filter(({ variant }) => variant.path === 'direct')
  const all = workload === 'chat' || workload === 'editing' || workload === 'approvals'
  return all ? cells : cells.slice(index % 3, (index % 3) + 1)
}

t.test('every event of every workload reaches every client once and in order', async t => {
  const stages = new Stages()
  t.teardown(() => stages.stop())
  for (const [index, workload] of workloadNames.entries()) {
    for (const plan of cellsToPlay(workload, index)) {
      const { variant, autocannon, storm } = plan
      const slow = plan.slow === true && workload === 'chat'
      const what = `${workload}, ${variant.name}, seed ${SEED}`
      // The ramp looks for what is too much.
      const quiet = { ...plan, slow, knee: false }
      const cell = await playCell(stages, await stages.of(variant), quiet, { seed: SEED, round: 0, lengths })
      t.equal(cell.error, undefined, what)
      for (const { expected, delivered, lost, doubled, outOfOrder, failedConnections } of cell.counts) {
        t.same([delivered, lost, doubled, outOfOrder, failedConnections], [expected, 0, 0, 0, 0], what)
      }
      t.ok(cell.main.counts.expected > 0, `${what}: something was sent`)
      t.equal(cell.main.deliver?.count, cell.main.counts.delivered, `${what}: each delivery was timed`)
      t.ok(cell.firstEventMs > 0 && cell.bytesPerEvent > 0 && cell.handshakeBytes > 0, what)
      t.equal(cell.storm !== undefined, storm === true, what)
      if (cell.storm) t.ok(cell.storm.currentMs.length > 0, `${what}: clients came back`)
      t.equal(cell.slow !== undefined, slow, what)
      t.equal(cell.autocannon !== undefined, autocannon === true, what)
      if (cell.autocannon) t.equal(cell.autocannon.failed, 0, `${what}: autocannon`)
      t.equal(cell.main.uplink !== undefined, SENDING.includes(workload), what)
    }
  }
})

t.test(
  'nginx as it comes lets no WebSocket through: found, not failed',
  {
    skip: isInstalled() ? false : 'nginx is not installed: apt-get install nginx',
  },
  async t => {
    const variants = ['WebSocket, nginx as it comes', 'WebSocket, nginx as documented']
    const asked = { names: ['buffered'] as const, quick: true, rounds: 1, seed: SEED, variants }
    const { cells, leftOut } = await runWorkloads(asked, silent())
    t.same(
      cells.map(({ variant }) => variant),
      ['WebSocket, nginx as documented'],
    )
    t.match(
      leftOut.find(({ impossible }) => impossible),
      { workload: 'buffered', variant: variants[0], why: /answer was \d/ },
    )
  },
)

t.test('a planted fault makes a run invalid', async t => {
  const names = ['game'] as const
  const run = (plant: 'late' | 'doubled') =>
    runWorkloads({ names, quick: true, rounds: 1, seed: SEED, variants: ['SSE'], plant }, silent())
  const holds = ({ checks }: Awaited<ReturnType<typeof run>>, what: RegExp) =>
    checks.filter(check => what.test(check.what)).map(check => check.holds)

  const doubled = await run('doubled')
  t.equal(doubled.valid, false)
  t.same(holds(doubled, /no event was lost/), [true])
  t.same(holds(doubled, /no event was doubled/), [false])
  t.equal(doubled.cells[0]?.counts.doubled, 1)

  const late = await run('late')
  t.equal(late.valid, false)
  t.same(holds(late, /the load was in time/), [false])
  t.same(holds(late, /no event was (lost|doubled)/), [true, true])
})

t.test('the command says so, too: exit code 1 for a lost event', async t => {
  const args = ['game', '--quick', '--rounds', '1', '--plant', 'lost', '--json']
  const { code, stdout } = await fails(args)
  t.equal(code, 1)
  const { valid, checks, cells } = JSON.parse(stdout) as Awaited<ReturnType<typeof runWorkloads>>
  t.equal(valid, false)
  const holds = (rule: string) => checks.find(({ what }) => what === rule)?.holds
  t.equal(holds('no event was lost'), false)
  t.equal(holds('no event was doubled'), true)
  for (const { variant, counts } of cells) t.equal(counts.lost, 1, variant)
})

t.test('what is not known is refused with the names that are', async t => {
  for (const args of [['chess'], ['--plant', 'slow']]) {
    const error = await fails(args)
    t.match(error, { code: 2, stderr: /workloads \(all without a name\): chat, editing/ }, args.join(' '))
  }
})
