/** The delaying proxy as properties, and the scenario `networks` in its quick form. Times have lower bounds only. */
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { pages, withNetworks } from '../guide/choosing.ts'
import { networksOf, networksSource } from '../guide/figures.ts'
import { markdown } from '../guide/markdown.ts'
import { readFindings } from '../guide/write.ts'
import { type CellRound, SESSIONS } from '../networks/cell.ts'
import { heldMs, type Profile, profileNames, wayNames } from '../networks/profiles.ts'
import type { ProxyHandlers } from '../networks/proxy-process.ts'
import { MAX_ERROR_MS, networksResult, type Rounds } from '../networks/result.ts'
import { listen } from '../peers/peer.ts'
import { Progress } from '../progress.ts'
import { seeded } from '../random.ts'
import { type KeptResult, keptResults } from '../report.ts'
import { networks } from '../scenarios/networks.ts'
import { startWorker } from '../worker.ts'

t.setTimeout(0)

const proxy = startWorker<ProxyHandlers>('networks/proxy-process')
const echo = createServer(socket => socket.on('error', () => {}).pipe(socket))
const port = await listen(echo)
t.teardown(async () => {
  await proxy.stop()
  echo.close()
})

async function dial(through: number): Promise<Socket> {
  const socket = connect({ port: through, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  return socket
}

/** Sends and waits until as many bytes have come back. @returns them, and the time that it took, ms */
async function there(socket: Socket, bytes: Buffer): Promise<{ back: Buffer; ms: number }> {
  const begun = performance.now()
  const parts: Buffer[] = []
  let length = 0
  const all = new Promise<void>(resolve => {
    const take = (part: Buffer) => {
      parts.push(part)
      length += part.length
      if (length < bytes.length) return
      socket.off('data', take)
      resolve()
    }
    socket.on('data', take)
  })
  socket.write(bytes)
  await all
  return { back: Buffer.concat(parts), ms: performance.now() - begun }
}

/** Clocks of two processes may round differently, ms. */
const ROUNDING = 0.1

t.test('the first answer of a connection takes two round trips, each later one takes one', async t => {
  const random = seeded(1)
  for (let run = 0; run < 8; run++) {
    const profile: Profile = { roundTripMs: 1 + random() * 60, jitterMs: run % 2 ? random() * 20 : 0 }
    const through = await proxy.call.open(port, profile, run)
    const begun = performance.now()
    const socket = await dial(through)
    await there(socket, Buffer.from('first'))
    const first = performance.now() - begun
    t.ok(first >= 2 * profile.roundTripMs - ROUNDING, `first: ${first} of ${JSON.stringify(profile)}`)
    for (let n = 0; n < 3; n++) {
      const { ms } = await there(socket, Buffer.from('later'))
      t.ok(ms >= profile.roundTripMs - ROUNDING, `later: ${ms} of ${JSON.stringify(profile)}`)
    }
    socket.destroy()
    await proxy.call.close(through)
  }
})

t.test('what is sent arrives whole and in order, whatever jitter, losses and rate do', async t => {
  const random = seeded(2)
  for (let run = 0; run < 6; run++) {
    const profile: Profile = {
      roundTripMs: random() * 10,
      jitterMs: random() * 30,
      losesEveryMs: 20,
      ...(run % 2 && { bitsPerSecond: 20e6 }),
    }
    const through = await proxy.call.open(port, profile, run)
    const socket = await dial(through)
    const sent: Buffer[] = []
    const back: Buffer[] = []
    socket.on('data', part => back.push(part))
    for (let n = 0; n < 60; n++) {
      const bytes = Buffer.from(Array.from({ length: 1 + Math.floor(random() * 4000) }, () => random() * 256))
      sent.push(bytes)
      socket.write(bytes)
      // Lets pieces leave apart from each other.
      await new Promise(resolve => setImmediate(resolve))
    }
    socket.end()
    await once(socket, 'end')
    t.ok(Buffer.concat(back).equals(Buffer.concat(sent)), JSON.stringify(profile))
    t.equal(await proxy.call.counted(through), 2 * Buffer.concat(sent).length, 'and is counted both ways')
    await proxy.call.close(through)
  }
})

t.test('a line carries no more than its rate, however many connections share it', async t => {
  const profile: Profile = { roundTripMs: 10, bitsPerSecond: 2e6 }
  const through = await proxy.call.open(port, profile, 3)
  const sockets = await Promise.all([dial(through), dial(through), dial(through)])
  for (const socket of sockets) await there(socket, Buffer.from('open'))
  const bytes = Buffer.alloc(20_000, 1)
  const begun = performance.now()
  await Promise.all(sockets.map(socket => there(socket, bytes)))
  const least = (3 * bytes.length * 8) / 2e3 + profile.roundTripMs
  const took = performance.now() - begun
  t.ok(took >= least - ROUNDING, `${took} ms, at least ${least} are needed`)
  for (const socket of sockets) socket.destroy()
  await proxy.call.close(through)
})

t.test('a lost piece holds up its own connection and no other one', async t => {
  const profile: Profile = { roundTripMs: 20 }
  const through = await proxy.call.open(port, profile, 4)
  const [hit, other] = await Promise.all([dial(through), dial(through)])
  for (const socket of [hit, other]) await there(socket, Buffer.from('open'))
  await proxy.call.lose(through)
  const order: string[] = []
  const lost = there(hit, Buffer.from('lost')).then(result => {
    order.push('lost')
    return result
  })
  // The answer on the other connection leaves a round trip later and overtakes all the same.
  await new Promise(resolve => setTimeout(resolve, profile.roundTripMs * 2))
  await there(other, Buffer.from('after'))
  order.push('other')
  const { ms } = await lost
  t.ok(ms >= profile.roundTripMs + heldMs(profile) - ROUNDING, `${ms} ms`)
  t.same(order, ['other', 'lost'])
  for (const socket of [hit, other]) socket.destroy()
  await proxy.call.close(through)
})

t.test('the proxy is never early, and knows how late it was', async t => {
  const { p50, p99, max } = await proxy.call.lateness()
  t.ok(p50 > 0 && p50 <= p99 && p99 <= max, `${p50} ${p99} ${max}`)
})

t.test('a quick run has every cell, and no figure is below what the handshakes need', async t => {
  const result = await networks({ quick: true, rounds: 1 }, new Progress('networks'))
  const { checks, tables, aims } = result
  t.ok(
    checks.filter(({ ofMachine }) => !ofMachine).every(({ holds }) => holds),
    JSON.stringify(checks),
  )
  t.equal(checks.filter(({ ofMachine }) => ofMachine).length, 2, 'its own error is checked')
  t.same(aims, [], 'a quick run claims nothing')
  for (const { title, columns, rows } of tables)
    for (const row of rows) {
      t.equal(row.length, columns.length, title)
      for (const cell of row) t.notMatch(String(cell), /NaN|undefined|–$|^$/, `${title}: ${row.join()}`)
    }
  const [trips] = tables
  const least: Record<string, number[]> = {
    SSE: [2, 2, 2, 1, 0.5],
    'SSE, TLS': [3, 3, 3, 1, 0.5],
    'SSE, HTTP/2, TLS': [3, 3, 1, 1, 0.5],
    WebSocket: [3, 3, 1, 1, 0.5],
    'WebSocket, TLS': [4, 4, 1, 1, 0.5],
    'long-poll': [2, 2, 2, 1, 0.5],
    'long-poll, TLS': [3, 3, 3, 1, 0.5],
  }
  t.same(
    trips?.rows.map(([way]) => way),
    Object.keys(least),
  )
  for (const [way, ...found] of trips?.rows ?? [])
    for (const [i, bound] of (least[way as string] ?? []).entries())
      t.ok((found[i] as number) >= bound - 0.01, `${way}: ${trips?.columns[i + 1]} ${found[i]} ≥ ${bound}`)
  const shared = tables.find(({ title }) => title.startsWith('ten sessions'))
  const held = Object.fromEntries(shared?.rows.map(([way, , count]) => [way, Number(count)]) ?? [])
  for (const way of ['WebSocket', 'WebSocket, TLS', 'SSE, HTTP/2, TLS'])
    t.equal(held[way], SESSIONS, `${way}: one connection holds up all`)
  const environment = { date: '2026-01-02T03:04:05Z' }
  const measured = networksOf([{ ...result, environment } as unknown as KeptResult])
  t.match(measured, { date: '2026-01-02', figures: { 'networks/cold': { unit: 'ms' } } })
})

/** A round without anything special. */
const round: CellRound = {
  cold: [1],
  resumed: [1],
  firstCommand: [1],
  laterCommand: [1],
  deliver: [1],
  shared: { others: 1, longest: 2, held: 1 },
  bytes: { open: 1, firstCommand: 1, laterCommand: 1, event: 1 },
  events: 5,
  faults: [{ lost: 0, doubled: 0, outOfOrder: 0, failedConnections: 0 }],
}

const rounds = (other: Partial<CellRound> = {}): Rounds =>
  Object.fromEntries(
    wayNames.map(way => [
      way,
      Object.fromEntries(profileNames.map(profile => [profile, [{ ...round, ...(way === 'SSE' && other) }]])),
    ]),
  ) as Rounds

const small = { echo: { p50: 0.1, p99: 1 }, pieces: { p50: 0.1, p99: 1, max: 2 } }

t.test('one lost event, one lost connection or too large an error makes a run invalid', async t => {
  const failed = (found: Rounds, error = small) =>
    networksResult(found, error, {}, false)
      .checks.filter(({ holds }) => !holds)
      .map(({ what }) => what)
  t.same(failed(rounds()), [])
  const faults = (fault: object) => rounds({ faults: [{ ...round.faults[0], ...fault } as never] })
  for (const what of ['lost', 'doubled', 'outOfOrder'])
    t.same(failed(faults({ [what]: 1 })), ['every event came once and in order'], what)
  t.same(failed(faults({ failedConnections: 1 })), ['no connection failed'])
  const { p50, p99 } = MAX_ERROR_MS
  t.same(failed(rounds(), { ...small, echo: { p50: p50 + 0.1, p99 } }), [
    'round trips to the echo took what they should',
  ])
  t.same(failed(rounds(), { ...small, pieces: { p50, p99: p99 + 0.1, max: 99 } }), [
    'the proxy handed every piece on in time',
  ])
})

t.test(
  'the guide’s figures and the pages on choosing a transport are those of the newest committed result',
  async t => {
    const measured = networksOf(keptResults())
    const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
    const again = 'run `npm run bench -- report bench/results/<date>-networks.json`'
    t.equal(read('src/guide/measured-networks.ts'), networksSource(measured), again)
    for (const [path, words] of Object.entries(pages)) {
      const page = read(path)
      t.equal(page, withNetworks(page, words, measured), `${path}: ${again}`)
      t.equal(page.match(/^\|.*\d \(\d.*\|$/gm)?.length, 6, `${path} has a row of figures for each measure`)
    }
    t.throws(
      () => withNetworks('a page', Object.values(pages)[0] as never, measured),
      /expected <!-- networks/,
    )
  },
)

t.test('the selection guide is the one of the newest results and of this network', async t => {
  const folder = fileURLToPath(new URL('../results/', import.meta.url))
  const newest = readdirSync(folder)
    .filter(name => /^[\d-]+\.json$/.test(name))
    .sort()
    .at(-1)
  const page = readFileSync(new URL('../../docs/selection-guide.md', import.meta.url), 'utf8')
  t.equal(page, markdown(readFindings(`${folder}${newest}`), networksOf(keptResults())))
})
