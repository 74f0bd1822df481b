/** The worker of docs/workers.md, as a reader types it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { TYPESCRIPT } from '../fixtures/typescript.ts'
import {
  command,
  eventually,
  logged,
  parse,
  serve,
  startRun,
  state,
  terminalOf,
} from '../fixtures/wire-server.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

t.test('the worker executes runs, and ends on SIGTERM', async t => {
  const page = readFileSync(join(root, 'docs/workers.md'), 'utf8')
  const [, code = ''] = /^```ts\n(.*?)^```/ms.exec(page) ?? []
  // In this folder, so that its packages are found.
  const folder = mkdtempSync(join(root, 'test/workers/typed-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'worker.ts')
  const own = join(root, 'client/worker/index.ts')
  t.match(code, "'twinrail-client/worker'")
  writeFileSync(file, code.replace('twinrail-client/worker', own))

  const wire = await serve(t)
  const child: ChildProcess = spawn(process.execPath, [...TYPESCRIPT, file], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '', TWINRAIL_URL: wire.url },
  })
  t.teardown(() => child.kill('SIGKILL'))
  t.match(String((await once(child.stdout as NodeJS.ReadableStream, 'data'))[0]), 'the worker is ready')
  const run = await startRun(wire.url, 's', 'greeter', { name: 'Ann' })
  await eventually(t, 'it asks', async () => (await state(wire.url, 's')).pendingInputs?.length === 1)
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const [{ requestId } = { requestId: '' }] = (await state(wire.url, 's')).pendingInputs ?? []
  await command(wire.url, 's', { type: 'input.answer', requestId, value: true })
  t.equal((await terminalOf(wire.url, 's', run)).type, 'run.completed')
  const deltas = (await logged(wire, 's')).map(parse).filter(({ type }) => type === 'text.delta')
  t.equal(deltas.map(({ data }) => (data as { delta: string }).delta).join(''), 'Hello, Ann. How are you?')
  t.same(await ended, [0, null], 'the process ends by itself')
})
