/** The Python package as a whole: its code on the oldest Python that is there, its types, its documentation. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { createDeepsearch } from '../../src/agents/deepsearch/deepsearch.ts'
import { call, command, eventually, startRun, state, terminalOf } from '../fixtures/wire-server.ts'
import { execute, missing, type PythonStage, packageFolder, pythonStage } from './stage.ts'

const skip = missing()

const readme = readFileSync(join(packageFolder, 'README.md'), 'utf8')
const programs = [...readme.matchAll(/```python\n([^`]+)```/g)].map(([, program = '']) => program)

const python = (...args: string[]) => {
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1' }
  const { status, stdout, stderr } = spawnSync('python3', args, { cwd: packageFolder, env, encoding: 'utf8' })
  return { status, output: stdout + stderr }
}

t.test('every file compiles', { skip }, async t => {
  const check =
    'import pathlib; [compile(p.read_text("utf-8"), str(p), "exec") for p in pathlib.Path().rglob("*.py")]'
  t.same(python('-W', 'error', '-c', check), { status: 0, output: '' })
})

const noMypy = skip || (python('-c', 'import mypy').status === 0 ? false : 'python3 has no module mypy')

t.test('the types are complete and right', { skip: noMypy }, async t => {
  const { status, output } = python('-m', 'mypy', '--cache-dir=/dev/null', 'twinrail', 'examples')
  t.equal(status, 0, output)
})

t.test('README’s worker has the right types', { skip: noMypy }, async t => {
  const file = join(t.testdir({ 'worker.py': programs.at(-1) ?? '' }), 'worker.py')
  const { status, output } = python('-m', 'mypy', '--strict', '--cache-dir=/dev/null', file)
  t.equal(status, 0, output)
})

t.test('README’s programs do what they say', { skip }, async t => {
  const corpus = fileURLToPath(new URL('../../PROTOCOL.md', import.meta.url))
  const stage = await pythonStage(t, { agents: [createDeepsearch({ corpus, cache: false })] })
  t.ok(programs.length >= 4)
  // The last one is the worker, which does not end by itself.
  for (const [n, program] of programs.slice(0, -1).entries()) {
    const file = typed(t, stage, program, n)
    const { code, output } = await execute(stage, file)
    t.equal(code, 0, output)
    t.not(output, '', 'it says something')
    t.comment(output.slice(0, 300))
  }
})

t.test('README’s worker executes runs, of chats as well, and ends on SIGTERM', { skip }, async t => {
  const stage = await pythonStage(t)
  const { env, url } = stage
  const file = typed(t, stage, programs.at(-1) ?? '', 0)
  const child = spawn('python3', ['-W', 'error', file], { env, stdio: ['ignore', 'inherit', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  await eventually(t, 'its agent is listed', async () => {
    const { agents } = (await call(`${url}/v1/agents`)).body as unknown as { agents: { name: string }[] }
    return agents.some(({ name }) => name === 'greeter')
  })
  const answer = async (session: string) => {
    await eventually(t, 'it asks', async () => (await state(url, session)).pendingInputs?.length === 1)
    const [{ requestId } = { requestId: '' }] = (await state(url, session)).pendingInputs ?? []
    await command(url, session, { type: 'input.answer', requestId, value: true })
  }
  const run = await startRun(url, 's', 'greeter', { name: 'Ann' })
  await answer('s')
  t.match(await terminalOf(url, 's', run), { type: 'run.completed', data: { result: { greeted: true } } })
  const sent = fetch(`${url}/openai/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'greeter',
      messages: [{ role: 'user', content: 'Bob' }],
      metadata: { conversation: 'chat' },
    }),
  })
  await eventually(
    t,
    'the chat has begun',
    async () => (await call(`${url}/v1/sessions/chat`)).status === 200,
  )
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await answer('chat')
  t.match(await (await sent).json(), { choices: [{ message: { content: 'Hello!' } }] })
  t.same(await ended, [0, null], 'it ends when its run is over')
})

/** Writes a program as a reader types it, with the address of the server. */
function typed(t: Test, { url }: PythonStage, program: string, n: number): string {
  const folder = mkdtempSync(join(tmpdir(), 'twinrail-readme-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  t.ok(program.includes('http://127.0.0.1:8787'))
  const file = join(folder, `program${n}.py`)
  writeFileSync(file, program.replaceAll('http://127.0.0.1:8787', url))
  return file
}
