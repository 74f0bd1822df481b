import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { durableContract, limitedContract, logContract } from '../../src/log/contract/index.ts'
import { between, random, seedOf } from '../../src/log/contract/random.ts'
import { put, readAll, START, seqs, text, texts } from '../../src/log/contract/setting.ts'
import type { LogEvent } from '../../src/log/event.ts'
import { keys } from '../../src/log/keys.ts'
import { endOfPages } from '../../src/log/lmdb/folder.ts'
import { type LmdbLog, type LogFolderError, openLmdbLog } from '../../src/log/lmdb.ts'
import { fileOf, raw, rows } from '../fixtures/lmdb-rows.ts'
import { TYPESCRIPT } from '../fixtures/typescript.ts'

let stores = 0

/** A folder that is not there yet. */
const newFolder = (t: Test) => join(t.testdir(), `log${stores++}`)

async function opened(t: Test, folder: string, clock?: () => number): Promise<LmdbLog> {
  const log = await openLmdbLog({ folder, ...(clock && { clock }) })
  t.teardown(() => log.close())
  return log
}

/** Why a folder was refused. */
async function problemOf(folder: string): Promise<Partial<LogFolderError>> {
  try {
    await (await openLmdbLog({ folder })).close()
  } catch (error) {
    return error as LogFolderError
  }
  throw new Error('it was opened')
}

/** The number of LMDB's last commit, as it stands in the file. */
function commits(folder: string): number {
  const file = readFileSync(fileOf(folder))
  return Math.max(Number(file.readBigUInt64LE(152)), Number(file.readBigUInt64LE(4096 + 152)))
}

const contents = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && !entry.name.endsWith('-lock'))
    .map(entry => [entry.name, readFileSync(join(entry.parentPath, entry.name)).toString('base64')])

interface Child {
  process: ChildProcessByStdio<Writable, Readable, null>
  /** Its next line; nothing when there is none any more. */
  next(): Promise<Record<string, unknown> | undefined>
  kill(): Promise<void>
}

const CHILD = fileURLToPath(new URL('../fixtures/lmdb-child.ts', import.meta.url))

function child(t: Test, mode: string, folder: string, { seed = 1, shell = '' } = {}): Child {
  const command = [process.execPath, ...TYPESCRIPT, CHILD, mode, folder, String(seed)]
  const stdio = ['pipe', 'pipe', 'inherit'] as ['pipe', 'pipe', 'inherit']
  const started = shell
    ? spawn('sh', ['-c', `${shell}; exec "$@"`, 'sh', ...command], { stdio })
    : spawn(command[0] as string, command.slice(1), { stdio })
  const exited = once(started, 'exit')
  t.teardown(() => started.kill('SIGKILL'))
  const lines = createInterface({ input: started.stdout })[Symbol.asyncIterator]()
  return {
    process: started,
    async next() {
      const { done, value } = await lines.next()
      return done ? undefined : (JSON.parse(value) as Record<string, unknown>)
    },
    async kill() {
      started.kill('SIGKILL')
      await exited
    },
  }
}

logContract(t, 'lmdb', (t, options) => openLmdbLog({ folder: newFolder(t), ...options }))

limitedContract(t, 'lmdb', (t, { clock, roomBytes }) =>
  openLmdbLog({ folder: newFolder(t), clock, maxLogBytes: roomBytes }),
)

durableContract(t, 'lmdb', t => {
  const folder = newFolder(t)
  return { open: options => openLmdbLog({ folder, ...options }) }
})

t.test('appends that come together share a commit', async t => {
  const folder = newFolder(t)
  const log = await opened(t, folder)
  await log.create('s', {})
  const before = commits(folder)
  await Promise.all(Array.from({ length: 1000 }, (_, i) => put(log, [text(i)])))
  t.ok(commits(folder) - before <= 2, `${commits(folder) - before} commits for 1,000 appends`)
  t.same((await readAll(log)).length, 1000)
})

t.test('followers hear of an event when it is committed, and before its append resolves', async t => {
  const folder = newFolder(t)
  const log = await opened(t, folder)
  await log.create('s', {})
  const heard: number[] = []
  const reads: Promise<void>[] = []
  let commitsAtAppend = commits(folder)
  t.teardown(
    log.follow('s', {
      events(_, events: readonly LogEvent[]) {
        const { seq } = events[0] as LogEvent
        t.ok(commits(folder) > commitsAtAppend, 'the commit is in the file')
        heard.push(seq)
        const held = log.read('s', seq - 1, { events: 1, bytes: 1 })
        reads.push(
          held
            .then(page => t.same(seqs(page?.events ?? []), [seq], 'and whoever reads has it'))
            .then(() => {}),
        )
      },
      ephemeral() {},
      deleted() {},
    }),
  )
  for (let i = 1; i <= 5; i++) {
    commitsAtAppend = commits(folder)
    await put(log, [text(i)])
    t.equal(heard.at(-1), i)
  }
  await Promise.all(reads)
})

t.test('a job that fails leaves its commit to the others', async t => {
  const log = await opened(t, newFolder(t))
  await log.create('s', {})
  const circular: Record<string, unknown> = {}
  circular['self'] = circular
  const appends = [
    log.append('s', [text(1)], { once: [{ key: 'k1' }] }),
    log.append('s', [text('no')], { once: [{ key: 'k2' }, { key: 'k3', note: circular }] }),
    log.append('s', [text(2)], { once: [{ key: 'k2', note: 'mine' }] }),
  ]
  const settled = await Promise.allSettled(appends)
  t.same(
    settled.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
  t.same(
    (await readAll(log)).map(({ event }) => event.data),
    [1, 2],
  )
  t.same(await log.lookup('s', ['k2', 'k3']), [{ seq: 2, note: 'mine' }, undefined])
})

t.test("a missing folder is created with its parents, and may contain a volume's own entries", async t => {
  const folder = join(newFolder(t), 'a', 'b.c')
  const log = await openLmdbLog({ folder })
  await put(log, [text(1)], { create: true })
  await log.close()
  t.same(readdirSync(folder).sort(), ['log.mdb', 'log.mdb-lock'])

  const volume = t.testdir({ 'lost+found': {}, '.DS_Store': '' })
  const other = await opened(t, volume)
  t.match(await put(other, [text(1)], { create: true }), { head: 1 })
})

t.test('a folder that is no log is refused and left as it is', async t => {
  const folders: [string, string, (folder: string) => void | Promise<void>][] = [
    ['foreign', 'a folder with other things', folder => writeFileSync(join(folder, 'notes.md'), '# Notes')],
    [
      'foreign',
      'another program’s database',
      async folder => {
        const other = raw(folder)
        await other.openDB({ name: 'theirs' }).put('a', 1)
        await other.close()
      },
    ],
    [
      'foreign',
      'another program’s database without tables',
      async folder => {
        const other = raw(folder)
        await other.put('a', 1)
        await other.close()
      },
    ],
    [
      'version',
      'a log of a later version',
      async folder => {
        const later = raw(folder)
        await later.openDB({ name: 'twinrail/2' }).put('a', 1)
        await later.close()
      },
    ],
    ['corrupt', 'random bytes', folder => writeFileSync(fileOf(folder), Buffer.from(noise(50_000)))],
    ['corrupt', 'zeros', folder => writeFileSync(fileOf(folder), Buffer.alloc(50_000))],
    ['corrupt', 'a few bytes', folder => writeFileSync(fileOf(folder), 'hello')],
    [
      'corrupt',
      'a log cut in half',
      async folder => truncateSync(await filled(folder), pagesEnd(fileOf(folder)) / 2),
    ],
    ['corrupt', 'a log cut after its first page', async folder => truncateSync(await filled(folder), 4096)],
    ['corrupt', 'a log with its beginning gone', folder => damaged(folder, file => file.fill(0, 0, 8192))],
    [
      'corrupt',
      'a log with a hole',
      folder => damaged(folder, (file, end) => file.fill(0, 8192, end - 20_000)),
    ],
    [
      'corrupt',
      'a log with its end gone',
      folder => damaged(folder, (file, end) => file.fill(0, end - 100_000)),
    ],
    [
      'corrupt',
      'a log written over',
      folder => damaged(folder, file => noise(file.length).copy(file, 8192, 8192)),
    ],
  ]
  for (const [problem, what, make] of folders) {
    const folder = newFolder(t)
    mkdirSync(folder)
    await make(folder)
    const before = contents(folder)
    const refusal = await problemOf(folder)
    t.equal(refusal.problem, problem, `${what}: ${refusal.message}`)
    t.ok(refusal.message?.includes(folder), 'the message names it')
    t.strictSame(contents(folder), before, 'not a byte of it has changed')
    t.equal((await problemOf(folder)).problem, problem, 'and again')
    rmSync(folder, { recursive: true })
    const log = await openLmdbLog({ folder })
    t.match(await put(log, [text(1)], { create: true }), { head: 1 }, 'a new one in its place works')
    await log.close()
  }

  const file = join(t.testdir({ file: 'x' }), 'file')
  t.match(await problemOf(file), { problem: 'unusable', message: /file stands in its place/ })
  t.match(await problemOf(join(file, 'below')), { problem: 'unusable' })
  t.equal(readFileSync(file, 'utf8'), 'x')
  t.match(await problemOf(t.testdir({ 'log.mdb': {} })), { problem: 'unusable', message: /cannot be used/ })
})

/** Bytes that are always the same. */
function noise(length: number): Buffer {
  const next = random(7)
  return Buffer.from(Array.from({ length }, () => between(next, 0, 255)))
}

/** Puts a log of some size into a folder. */
async function filled(folder: string): Promise<string> {
  const log = await openLmdbLog({ folder })
  for (let i = 0; i < 10; i++) await put(log, texts(i * 500 + 1, i * 500 + 500), { create: true })
  await log.close()
  return fileOf(folder)
}

/** @param damage gets the file and where its last page ends: behind that it has room to grow */
async function damaged(folder: string, damage: (file: Buffer, end: number) => void): Promise<void> {
  const path = await filled(folder)
  const file = readFileSync(path)
  damage(file, pagesEnd(path))
  writeFileSync(path, file)
}

function pagesEnd(path: string): number {
  const file = openSync(path, 'r')
  try {
    return endOfPages(file).end
  } finally {
    closeSync(file)
  }
}

t.test('the files of an LMDB that was killed before its first write are an empty log', async t => {
  const folder = newFolder(t)
  mkdirSync(folder)
  writeFileSync(fileOf(folder), '')
  t.match(await put(await opened(t, folder), [text(1)], { create: true }), { head: 1 })
})

t.test('one process at a time has the folder', async t => {
  const folder = newFolder(t)
  const log = await openLmdbLog({ folder })
  t.match(await problemOf(folder), { problem: 'in-use' }, 'not even this one twice')

  const refused = child(t, 'hold', folder)
  const told = await refused.next()
  t.match(told, { failed: 'in-use' })
  t.match(told?.['message'], new RegExp(`in use by process ${process.pid}`))
  t.match(await put(log, [text(1)], { create: true }), { head: 1 }, 'the owner is not disturbed')
  refused.process.stdin.end()

  // Nor is it taken for damaged while pages change under who looks.
  let writing = true
  const writer = (async () => {
    while (writing) await Promise.all(texts(1, 200).map(stored => put(log, [stored])))
  })()
  const late = child(t, 'hold', folder)
  t.match(await late.next(), { failed: 'in-use' })
  writing = false
  await writer
  late.process.stdin.end()
  const { head } = (await log.session('s')) ?? { head: 0 }
  await log.close()

  const heir = child(t, 'hold', folder)
  t.match(await heir.next(), { open: true }, 'after a close another may')
  t.match(await problemOf(folder), { problem: 'in-use', message: new RegExp(`process ${heir.process.pid}`) })

  await heir.kill()
  const back = await opened(t, folder)
  t.match(await back.session('s'), { head }, 'after a kill -9 at once')
})

t.test('of several that start at once, one gets the folder', async t => {
  const folder = newFolder(t)
  const children = Array.from({ length: 3 }, () => child(t, 'hold', folder))
  const said = await Promise.all(children.map(one => one.next()))
  t.equal(said.filter(line => line?.['open']).length, 1, JSON.stringify(said))
  t.equal(said.filter(line => line?.['failed'] === 'in-use').length, 2)
  for (const one of children) one.process.stdin.end()
})

t.test('an owner that was taken for dead can write nothing more', async t => {
  const folder = newFolder(t)
  const log = await opened(t, folder)
  await put(log, [text(1)], { create: true })
  const owners = raw(folder).openDB<{ pid: number }, string>('twinrail/1', {
    encoding: 'json',
    useVersions: true,
  })
  const term = owners.getEntry('owner')?.version ?? 0
  await owners.put('owner', { pid: 1 }, term + 1)

  const follower: number[] = []
  t.teardown(
    log.follow('s', { events: (_, events) => follower.push(...seqs(events)), ephemeral() {}, deleted() {} }),
  )
  await t.rejects(log.append('s', [text(2)]), { code: 'unavailable', message: /another process/ })
  await t.rejects(log.delete('s'), { code: 'unavailable' })
  t.same(follower, [])
  t.same(seqs(await readAll(log)), [1])
  await owners.put('owner', { pid: process.pid }, term)
  t.match(await put(log, [text(2)]), { first: 2 }, 'what was refused left nothing behind')
})

t.test('an open log works on when other programs have taken all reader slots', async t => {
  const folder = newFolder(t)
  const log = await openLmdbLog({ folder })
  await log.create('s', {})
  const crowd = child(t, 'crowd', folder)
  t.match(await crowd.next(), { full: true })
  const heard: number[] = []
  t.teardown(
    log.follow('s', { events: (_, events) => heard.push(...seqs(events)), ephemeral() {}, deleted() {} }),
  )
  for (let i = 1; i <= 5; i++) {
    t.match(await put(log, [text(i)]), { first: i, head: i })
    t.same(seqs(await readAll(log)), heard, 'each commit is heard of and read')
    // The next turn renews the read transaction.
    await new Promise(resolve => setImmediate(resolve))
  }
  t.same(heard, [1, 2, 3, 4, 5])
  await log.close()

  const second = child(t, 'crowd', folder)
  t.match(await second.next(), { full: true })
  t.match(await problemOf(folder), { problem: 'unusable', message: /all entries of LMDB's table of readers/ })
  for (const one of [crowd, second]) await one.kill()
  t.match(await (await opened(t, folder)).session('s'), { head: 5 }, 'the places of the dead are free')
})

t.test('any number of reads and commits takes one place for readers', async t => {
  const folder = newFolder(t)
  const log = await opened(t, folder)
  await put(log, texts(1, 500), { create: true })
  const places = () => {
    const root = raw(folder)
    const lines = root.readerList().trim().split('\n').slice(1)
    void root.close()
    return lines.length
  }
  t.equal(places(), 1)
  const reads = Array.from({ length: 300 }, async (_, i) => {
    await put(log, [text(i)])
    const [page] = await Promise.all([
      log.read('s', i, { events: 100, bytes: 500 }),
      log.list(undefined, 10),
      log.lookup('s', ['k']),
      log.expired(10),
      log.loadSnapshot('s', 1),
    ])
    return page?.events.length
  })
  t.ok((await Promise.all(reads)).every(Boolean))
  t.equal(places(), 1)
})

t.test('files that LMDB cannot read are refused as unavailable', async t => {
  const folder = newFolder(t)
  const log = await opened(t, folder)
  const { epoch } = await put(log, [text(1)], { create: true })
  // As a process does that takes this one for dead, its locks being out of sight: the table is the end of the lock file.
  const lock = `${fileOf(folder)}-lock`
  const table = 256 * 64
  const at = statSync(lock).size - table
  const clear = `fs.writeSync(fs.openSync(process.argv[1], 'r+'), Buffer.alloc(${table}), 0, ${table}, ${at})`
  t.equal(spawnSync(process.execPath, ['-e', clear, lock]).status, 0)
  await new Promise(resolve => setImmediate(resolve))
  const refused = { code: 'unavailable', message: /could not be read/ }
  const reads: (() => Promise<unknown>)[] = [
    () => log.session('s'),
    () => log.list(undefined, 1),
    () => log.read('s', 0, { events: 1, bytes: 1 }),
    () => log.lookup('s', ['k']),
    () => log.expired(1),
    () => log.loadSnapshot('s', epoch),
    () => log.append('s', [text(2)]),
  ]
  for (const read of reads) await t.rejects(read(), refused, String(read))
})

t.test('deleted, trimmed and expired data takes no space', async t => {
  const folder = newFolder(t)
  const time = { now: START }
  const log = await opened(t, folder, () => time.now)
  await log.create('empty', {})
  await log.delete('empty')
  await log.settled()
  const before = rows(folder)
  t.same(Object.keys(before).sort(), ['counters', 'twinrail/1'])

  const { epoch } = await put(log, texts(1, 5000), {
    create: true,
    once: Array.from({ length: 2500 }, (_, i) => ({ key: `k${i}`, ...(i % 2 && { ttlMs: 1000 }) })),
    leases: Array.from({ length: 1500 }, (_, i) => ({ runId: `r${i}`, token: 'a', ttlMs: 1000 + i })),
    producer: { id: 'p', seq: 1 },
  })
  await log.renew('s', { runId: 'r7', token: 'a', ttlMs: 5000 })
  await log.saveSnapshot('s', epoch, { seq: 10, state: {} })
  t.match(rows(folder), { events: 5000, keys: 2500, 'key-ends': 1250, leases: 1500, 'lease-ends': 1500 })

  await log.trim('s', epoch, 3456, { seq: 5000, state: {} })
  await log.settled()
  t.match(rows(folder), { events: 5000 - 3456, garbage: undefined })
  t.equal(seqs(await readAll(log))[0], 3457)

  time.now += 1000
  await put(log, [], { once: [{ key: 'brief', ttlMs: 1 }], release: ['r1'] })
  await log.settled()
  t.match(rows(folder), { keys: 1251, 'key-ends': 1, 'lease-ends': 1499, leases: 1499 })

  const [deleted] = await Promise.all([log.delete('s'), log.create('s', {})])
  t.equal(deleted, true)
  await log.delete('s')
  await log.settled()
  t.same(rows(folder), before)
})

t.test('space that a close did not free is freed at the next start', async t => {
  const folder = newFolder(t)
  const log = await openLmdbLog({ folder })
  await put(log, texts(1, 20_000), { create: true })
  await log.delete('s')
  await log.close()
  const again = await opened(t, folder)
  await again.settled()
  t.same(Object.keys(rows(folder)).sort(), ['counters', 'twinrail/1'])
})

t.test('a disk that is full at the start is reported', async t => {
  const folder = newFolder(t)
  mkdirSync(folder)
  const start = async () => {
    const refused = child(t, 'hold', folder, { shell: "trap '' XFSZ; ulimit -f 20" })
    const said = await refused.next()
    refused.process.stdin.end()
    await once(refused.process, 'exit')
    return said
  }
  t.match(await start(), { failed: 'unusable', message: /cannot be made/ })
  t.same(readdirSync(folder), [], 'nothing is left')
  writeFileSync(fileOf(folder), '')
  t.match(await start(), { failed: 'unusable', message: /cannot be made/ })
  t.match(await put(await opened(t, folder), [text(1)], { create: true }), { head: 1 }, 'with room it works')
})

t.test('whatever was acknowledged before a kill -9 is there after it', async t => {
  const seed = seedOf(t)
  const next = random(seed)
  const folder = newFolder(t)
  const acknowledged = new Map<number, { first: number; count: number }>()
  let epoch: unknown
  for (let round = 0; round < 3; round++) {
    const writing = child(t, 'write', folder, { seed: seed + round })
    let lines = between(next, 1, 200)
    const kill = async () => {
      // Not in step with the commits: some turns of this process later.
      for (let turn = between(next, 0, 20); turn > 0; turn--)
        await new Promise(resolve => setImmediate(resolve))
      await writing.kill()
    }
    let killed: Promise<void> | undefined
    for (let said = await writing.next(); said; said = await writing.next()) {
      if (said['failed'] !== undefined) t.fail(JSON.stringify(said))
      const { call, first, count } = said as { call: number; first: number; count: number }
      acknowledged.set(call, { first, count })
      epoch ??= said['epoch']
      if (said['epoch'] !== epoch) t.fail('the epoch changed')
      if (--lines === 0) killed = kill()
    }
    await killed

    const log = await openLmdbLog({ folder })
    const session = await log.session('s')
    const events = await readAll(log)
    const counted = Array.from({ length: session?.head ?? 0 }, (_, i) => i + 1)
    t.ok(JSON.stringify(seqs(events)) === JSON.stringify(counted), `${events.length} events without a hole`)
    t.equal(session?.epoch, epoch)
    const calls = new Map<number, number[]>()
    for (const { seq, event } of events) {
      const { call } = event.data as { call: number }
      calls.set(call, [...(calls.get(call) ?? []), seq])
    }
    let missing = 0
    for (const [call, { first, count }] of acknowledged) {
      const got = calls.get(call) ?? []
      if (got.length !== count || got[0] !== first) missing++
    }
    t.equal(missing, 0, `${acknowledged.size} acknowledged appends are there`)
    // An append and its key are one: there is none of them alone, acknowledged or not.
    const wanted = [...calls].map(([call]) => keys.command('ann', `c${call}`))
    const entries = await log.lookup('s', wanted)
    const whole = [...calls.values()].every((got, i) => {
      const entry = entries[i]
      return (
        entry !== undefined && entry.seq === got[0] && (entry.note as { count: number }).count === got.length
      )
    })
    t.ok(whole, 'each append is there as a whole, with its key')
    const beyond = Array.from({ length: 50 }, (_, i) =>
      keys.command('ann', `c${Math.max(0, ...calls.keys()) + 1 + i}`),
    )
    t.ok(
      (await log.lookup('s', beyond)).every(entry => entry === undefined),
      'and no key without its append',
    )
    await log.settled()
    await log.close()
  }
  const log = await opened(t, folder)
  await log.delete('s')
  await log.delete('churn')
  await log.settled()
  t.notMatch(Object.keys(rows(folder)).sort(), [
    'events',
    'keys',
    'leases',
    'lease-ends',
    'garbage',
    'snapshots',
  ])
})
