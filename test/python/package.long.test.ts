/** The Python package as a whole: its code on the oldest Python that is there, its types, its documentation. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { createDeepsearch } from '../../src/agents/deepsearch/deepsearch.ts'
import { execute, missing, packageFolder, pythonStage } from './stage.ts'

const skip = missing()

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

t.test('README’s programs do what they say', { skip }, async t => {
  const corpus = fileURLToPath(new URL('../../PROTOCOL.md', import.meta.url))
  const stage = await pythonStage(t, { agents: [createDeepsearch({ corpus, cache: false })] })
  const readme = readFileSync(join(packageFolder, 'README.md'), 'utf8')
  const programs = [...readme.matchAll(/```python\n([^`]+)```/g)].map(([, program = '']) => program)
  t.ok(programs.length >= 3)
  const folder = mkdtempSync(join(tmpdir(), 'twinrail-readme-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  for (const [n, program] of programs.entries()) {
    const file = join(folder, `program${n}.py`)
    t.ok(program.includes('http://127.0.0.1:8787'))
    writeFileSync(file, program.replaceAll('http://127.0.0.1:8787', stage.url))
    const { code, output } = await execute(stage, file)
    t.equal(code, 0, output)
    t.not(output, '', 'it says something')
    t.comment(output.slice(0, 300))
  }
})
