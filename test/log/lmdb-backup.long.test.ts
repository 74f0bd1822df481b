/** `twinrail backup`: a copy of an LMDB log that a server writes to meanwhile. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { backupLmdb, LogFolderError, openLmdbLog } from '../../src/log/lmdb.ts'
import { finished, serve, twinrail } from '../e2e/stage.ts'

const SESSIONS = ['a', 'b', 'c', 'd']

/** Writers that append as fast as they may, and how many events of each session were acknowledged. */
function load(url: string) {
  const acknowledged = new Map<string, number>(SESSIONS.map(id => [id, 0]))
  let isOver = false
  const write = async (sessionId: string) => {
    for (let next = 0; !isOver; ) {
      const body = Array.from({ length: 50 }, () => ({
        type: 'x.n',
        data: { n: next++, text: 'x'.repeat(1000) },
      }))
      const response = await fetch(`${url}/v1/sessions/${sessionId}/events`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }).catch(() => undefined)
      if (!response?.ok) return
      acknowledged.set(sessionId, next)
    }
  }
  const writers = Promise.all(SESSIONS.map(write))
  return {
    acknowledged,
    async reaches(count: number) {
      while ([...acknowledged.values()].some(done => done < count)) await new Promise(setImmediate)
    },
    async stop() {
      isOver = true
      await writers
    },
  }
}

/** The data of every event of the backup. */
async function readBackup(folder: string): Promise<Map<string, { n: number }[]>> {
  const log = await openLmdbLog({ folder })
  try {
    const found = new Map<string, { n: number }[]>()
    for (const id of SESSIONS) {
      const page = await log.read(id, 0, { events: 1e6, bytes: 1e12 })
      found.set(
        id,
        (page?.events ?? []).map(({ event }) => event.data as { n: number }),
      )
    }
    return found
  } finally {
    await log.close()
  }
}

const backup = (source: string, target: string) =>
  finished(twinrail(['backup', target, '--log', `lmdb:${source}`]))

function hasAll(t: Test, found: Map<string, { n: number }[]>, before: Map<string, number>) {
  for (const [id, count] of before) {
    const numbers = (found.get(id) ?? []).map(({ n }) => n)
    t.ok(numbers.length >= count, `${id}: ${numbers.length} events, ${count} acknowledged before`)
    t.ok(
      numbers.every((n, i) => n === i),
      `${id}: in order, without a hole`,
    )
  }
}

t.test('a backup under load has all that was acknowledged before it, and serves', async t => {
  const [source, target] = [`${t.testdir()}/log`, `${t.testdirName}/copy`]
  const { url } = await serve(t, ['--log', `lmdb:${source}`], {})
  const writers = load(url)
  await writers.reaches(1000)
  const before = new Map(writers.acknowledged)
  const done = await backup(source, target)
  const after = new Map(writers.acknowledged)
  t.match(done, {
    code: 0,
    stdout: /^\S+: 4 sessions, \d[\d,.  ]* events, \d+ bytes; checked\n$/,
    // Progress, when it takes long.
    stderr: /^(twinrail: .* so far\n)*$/,
  })
  t.ok(
    [...after].every(([id, count]) => count > (before.get(id) ?? 0)),
    'the server wrote meanwhile',
  )
  await writers.stop()
  t.same(readdirSync(target), ['log.mdb'], 'nothing but the log')
  hasAll(t, await readBackup(target), before)

  const restored = await serve(t, ['--log', `lmdb:${target}`], {})
  const page = await fetch(`${restored.url}/v1/sessions/a/events?last=1`, {
    headers: { accept: 'application/json' },
  })
  t.equal(((await page.json()) as { events: unknown[] }).events.length, 1)
  const append = await fetch(`${restored.url}/v1/sessions/a/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"type":"x.n","data":"after"}',
  })
  t.equal(append.status, 200)
})

t.test('a server that is killed during the backup takes nothing from it', async t => {
  const [source, target] = [`${t.testdir()}/log`, `${t.testdirName}/copy`]
  const { url, child } = await serve(t, ['--log', `lmdb:${source}`], {})
  const writers = load(url)
  await writers.reaches(1500)
  const before = new Map(writers.acknowledged)
  const copying = backup(source, target)
  while (!existsSync(join(target, '.partial', 'log.mdb'))) await sleep(1)
  child.kill('SIGKILL')
  t.match(await copying, { code: 0 })
  await writers.stop()
  hasAll(t, await readBackup(target), before)
  hasAll(t, await readBackup(source), before)
})

t.test('a backup that is killed leaves no log, and can be made again', async t => {
  const [source, target] = [`${t.testdir()}/log`, `${t.testdirName}/copy`]
  const { url } = await serve(t, ['--log', `lmdb:${source}`], {})
  const writers = load(url)
  await writers.reaches(1500)
  const child = twinrail(['backup', target, '--log', `lmdb:${source}`])
  const ended = finished(child)
  while (!existsSync(join(target, '.partial', 'log.mdb'))) await sleep(1)
  child.kill('SIGKILL')
  await ended
  t.same(readdirSync(target), ['.partial'])
  const before = new Map(writers.acknowledged)
  t.match(await backup(source, target), { code: 0 })
  await writers.stop()
  hasAll(t, await readBackup(target), before)
})

t.test('what cannot be copied is refused', async t => {
  const folder = t.testdir({ log: {}, full: { 'notes.txt': 'mine' }, target: {} })
  const log = await openLmdbLog({ folder: `${folder}/log` })
  await log.create('s', {})
  await log.close()
  await t.rejects(backupLmdb(`${folder}/none`, `${folder}/target`), LogFolderError)
  t.notOk(existsSync(`${folder}/none`), 'nothing is made of a wrong name')
  await t.rejects(backupLmdb(`${folder}/log`, `${folder}/full`), { message: /is not empty/ })
  t.match(await backupLmdb(`${folder}/log`, `${folder}/target`), { sessions: 1, events: 0 })
  await t.rejects(backupLmdb(`${folder}/log`, `${folder}/target`), { message: /is not empty/ })
  const redis = await finished(twinrail(['backup', `${folder}/r`, '--log', 'redis://127.0.0.1:1']))
  t.match(redis, { code: 2, stderr: /copies LMDB logs/ })
})

t.test('a copy that is damaged is found', async t => {
  const folder = t.testdir({ log: {} })
  const log = await openLmdbLog({ folder: `${folder}/log` })
  const text = (n: number) => JSON.stringify({ sessionId: 's', type: 'x.n', time: 1, data: n })
  await log.append('s', [1, 2, 3].map(text), { create: true })
  await log.close()
  const { open } = await import('lmdb')
  const { eventKey } = await import('../../src/log/lmdb/tables.ts')
  const root = open({ path: `${folder}/log/log.mdb`, noSubdir: true, maxDbs: 16 })
  const events = root.openDB('events', { encoding: 'string', keyEncoding: 'binary' })
  const [key] = [...events.getKeys({ limit: 1, offset: 1 })] as Buffer[]
  t.same(key?.subarray(8), eventKey(1, 2).subarray(8))
  events.removeSync(key as Buffer)
  await root.close()
  await t.rejects(backupLmdb(`${folder}/log`, `${folder}/copy`), {
    message: /damaged: of the session s, events 1 to 3 are not all there/,
  })
  t.same(readdirSync(`${folder}/copy`), [])
})
