/** The log on a disk that is full, on a file system of its own that is really full. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { text as textOf } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { seedOf } from '../../src/log/contract/random.ts'
import { TYPESCRIPT } from '../fixtures/typescript.ts'

/** Why a test cannot have a file system of its own; `false` when it can. */
const noMount =
  spawnSync('unshare', ['-rm', 'sh', '-c', 'mount -t tmpfs -o size=1m tmpfs /mnt']).status === 0
    ? false
    : 'no file system can be mounted here: unshare -rm is missing or forbidden'

const skip = { skip: noMount }

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url))

// biome-ignore lint/suspicious/noExplicitAny: what the programs of this file's tests say is checked by the tests.
type Said = any

/** Runs a program on a file system of its own, of 40 MiB. @returns what it said, line by line */
async function onSmallDisk(t: Test, program: readonly string[], told?: RegExp): Promise<Said[]> {
  const folder = t.testdir()
  const mount = `mount -t tmpfs -o size=40m tmpfs '${folder}' && cd '${folder}' && exec "$@"`
  const command = [process.execPath, ...TYPESCRIPT, ...program]
  const child = spawn('unshare', ['-rm', 'sh', '-c', mount, 'sh', ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [[code, signal], output, errors] = await Promise.all([
    once(child, 'exit'),
    textOf(child.stdout),
    textOf(child.stderr),
  ])
  t.equal(signal, null, 'no abort')
  t.equal(code, 0)
  if (told) t.match(errors, told)
  else t.equal(errors, '', 'LMDB never met the full disk')
  return output
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
}

t.test('a full disk refuses appends, lets deletions through and harms nothing', skip, async t => {
  const said = await onSmallDisk(t, [fixture('lmdb-child.ts'), 'fill', 'log'])
  const [full, still, freed, after] = said
  const { head } = full
  t.match(full, {
    code: 'unavailable',
    details: { reason: 'full' },
    message: /the disk of the log is full: .* free, of which 2.0 MiB are kept; delete sessions, or make room/,
  })
  t.ok(head > 300, `${head} events fitted`)
  t.same(still, { again: ['full', 'full', 'full'], still: head, ready: 'full' })
  t.match(freed, { deleted: true, refused: ['full'], ready: true })
  t.match(after, { appended: head + 3, read: head + 3, sound: true, spare: undefined })
})

t.test('deleting makes room though large values took the end of the file', skip, async t => {
  const [{ large, small, ready }] = await onSmallDisk(t, [fixture('lmdb-child.ts'), 'scatter', 'log'])
  t.ok(large > 3, `${large} large values`)
  t.same(small, Array(20).fill(true), 'small values are appended')
  t.equal(ready, true)
})

const noLimit =
  spawnSync('prlimit', ['--version']).status === 0
    ? false
    : 'prlimit is not installed, which has a write of LMDB fail: apt-get install util-linux'

t.test(
  'after a failed commit appends are refused until the file has been reopened',
  { skip: noMount || noLimit },
  async t => {
    const [stopped, going] = await onSmallDisk(
      t,
      [fixture('lmdb-child.ts'), 'fail', 'log'],
      /Input.output error/,
    )
    const refusal = { code: 'unavailable', details: undefined }
    t.match(stopped.failed, { ...refusal, message: /could not be written; nothing is written until/ })
    t.match(stopped.refused, Array(3).fill({ ...refusal, message: /its file cannot be reopened: EFBIG/ }))
    t.same(stopped.read, [1], 'what is there can be read')
    t.same(going.read, [1, 4])
    t.match(going.counts, { full: 0, 'failed-commit': 1 })
  },
)

/** How long the disk is full. */
const SECONDS = 60

t.test('on a full disk nothing acknowledged is lost, and deleting makes room', skip, async t => {
  const seed = seedOf(t)
  const [said] = await onSmallDisk(t, [fixture('full-disk.ts'), '.', `${SECONDS}`, `${seed}`])
  t.comment(JSON.stringify(said))
  const { counts, held, missing, holes, afterDeleting, readyAfterDeleting } = said
  t.equal(missing, 0, `of ${held} events`)
  t.equal(holes, 0)
  const refusals = Object.keys(counts).filter(what => /^(refused|not deleted)/.test(what))
  t.same(
    refusals.filter(what => !what.endsWith('503 unavailable full')),
    [],
    'whatever is refused is refused as full',
  )
  t.ok(counts['refused 503 unavailable full'] > 20, 'the disk was full')
  t.ok(counts['not ready'] > 0 && counts['ready'] > 0, 'and /readyz said so')
  t.ok(counts['deleted'] > 10)
  t.same(new Set(afterDeleting), new Set(['ok']), 'deleting alone makes room')
  t.match(readyAfterDeleting, { ok: true })
})
