/** The Python package's tests, against the real server. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { authorized, missing, pythonStage } from './stage.ts'

const skip = missing()

t.test('cursors, errors and waits', { skip }, async t => {
  await (await pythonStage(t)).run('units')
})

t.test('a follower', { skip }, async t => {
  await (await pythonStage(t, { retention: { events: 1000 }, retentionEveryMs: 20 })).run('follower')
})

t.test('connections that are cut', { skip }, async t => {
  await (await pythonStage(t)).run('cuts')
})

t.test('a server that is restarted', { skip }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'twinrail-python-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  await (await pythonStage(t, {}, folder)).run('restart')
})

t.test('commands', { skip }, async t => {
  await (await pythonStage(t)).run('commands')
})

t.test('credentials', { skip }, async t => {
  await (await pythonStage(t, authorized())).run('credentials')
})
