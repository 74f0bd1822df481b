/** Timers that wait as long as they are told to, and the rule that every delay from outside goes through them. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { mock } from 'node:test'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'
import { MAX_DELAY_MS, sleep, startInterval, startTimer } from '../../src/protocol/timers.ts'

const DAY_MS = 86_400_000

t.test('a timer of 60 days fires after 60 days', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  let fired = 0
  startTimer(60 * DAY_MS, () => fired++)
  // Time moves in steps that end where the platform's timers do: the mocked clock starts a new one only then.
  for (const step of [MAX_DELAY_MS, MAX_DELAY_MS, 60 * DAY_MS - 2 * MAX_DELAY_MS - 1]) {
    mock.timers.tick(step)
    t.equal(fired, 0)
  }
  mock.timers.tick(1)
  t.equal(fired, 1)
  for (let day = 0; day < 90; day++) mock.timers.tick(DAY_MS)
  t.equal(fired, 1, 'once')
})

t.test('a timer of Infinity never fires', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const cancel = startTimer(Number.POSITIVE_INFINITY, () => t.fail('it fired'))
  for (let month = 0; month < 24; month++) mock.timers.tick(MAX_DELAY_MS)
  cancel()
})

t.test('a long timer is cancelled in its first and in a later stretch', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const cancels = [0, 1].map(() => startTimer(60 * DAY_MS, () => t.fail('it fired')))
  cancels[0]?.()
  mock.timers.tick(MAX_DELAY_MS)
  cancels[1]?.()
  for (let day = 0; day < 90; day++) mock.timers.tick(DAY_MS)
})

t.test('an interval of 30 days fires every 30 days until cancelled', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  let fired = 0
  const cancel = startInterval(30 * DAY_MS, () => fired++)
  for (let day = 0; day < 95; day++) mock.timers.tick(DAY_MS)
  t.equal(fired, 3)
  cancel()
  for (let day = 0; day < 95; day++) mock.timers.tick(DAY_MS)
  t.equal(fired, 3)
})

t.test('an interval may be cancelled by its own callback', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  let fired = 0
  const cancel = startInterval(10, () => {
    fired++
    cancel()
  })
  mock.timers.tick(100)
  t.equal(fired, 1)
})

t.test('a sleep ends with its signal', async t => {
  const stop = new AbortController()
  const sleeping = sleep(Number.POSITIVE_INFINITY, stop.signal)
  stop.abort(new Error('enough'))
  await t.rejects(sleeping, { message: 'enough' })
  await t.rejects(sleep(1, stop.signal), { message: 'enough' })
  await sleep(1)
})

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')

/** Delays of timers of the platform that are neither a number nor a named constant. */
function foreignDelays(file: string): string[] {
  const source = ts.createSourceFile(file, readFileSync(join(root, file), 'utf8'), ts.ScriptTarget.Latest)
  const found: string[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node)) {
      const name = node.expression.getText(source)
      const delay = node.arguments[1]?.getText(source) ?? '0'
      const isTimer = /^(globalThis\.|window\.)?set(Timeout|Interval)$/.test(name)
      if (isTimer && !/^([\d_]+|[A-Z][A-Z\d_]*)$/.test(delay)) {
        found.push(`${file}: ${node.getText(source).split('\n').at(-1)}`)
      }
    }
    if (ts.isImportDeclaration(node) && /timers\/promises/.test(node.moduleSpecifier.getText(source))) {
      if (/\bset(Timeout|Interval)\b/.test(node.getText(source)))
        found.push(`${file}: ${node.getText(source)}`)
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

t.test('every delay that is configured or comes from outside uses these timers', async t => {
  const files = ['src', 'client'].flatMap(folder =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile() && /\.tsx?$/.test(entry.name))
      .map(entry => relative(root, join(entry.parentPath, entry.name)))
      // The pages' delays are a slider's, constants, and the server's hint when to ask again.
      .filter(file => file !== 'src/protocol/timers.ts' && !/^client\/(playground|inspector)\//.test(file))
      .filter(file => /setTimeout|setInterval/.test(readFileSync(join(root, file), 'utf8'))),
  )
  t.ok(files.length > 10)
  t.same(files.flatMap(foreignDelays), [])
})
