import { spawn } from 'node:child_process'
import t from 'tap'
import { type GuideOptions, guideCommand } from '../../src/cli/guide.ts'
import { guideFlags, type Typed } from '../../src/cli/guide-questions.ts'
import { advise, adviseOnAll, GuideQuestion } from '../../src/guide/index.ts'
import { TYPESCRIPT } from '../fixtures/typescript.ts'
import { shown, stream } from './stage.ts'

function stage(
  typed: Typed = {},
  given: { tty?: boolean; json?: boolean; env?: Record<string, string> } = {},
) {
  const { tty = false, json = false, env = {} } = given
  const [stdout, stderr, stdin] = [stream(tty), stream(tty), stream(tty)]
  const stop = new AbortController()
  const options: GuideOptions = { typed, json, env, stdout, stderr, stdin, signal: stop.signal }
  return { stdout, stderr, stdin, stop, ended: guideCommand(options) }
}

const plain = (value: unknown) => JSON.parse(JSON.stringify(value))

t.test(
  'flags: the transport, each reason with its rule, the tutorial’s reason and whether it holds',
  async t => {
    const { ended, stdout, stderr } = stage({ scenario: 'game' })
    t.equal(await ended, 0)
    t.match(stdout.text, /^Game against an AI: /)
    t.match(stdout.text, /^Use WebSocket\. Otherwise SSE, then long-poll\.$/m)
    t.match(stdout.text, /^ {2}20 commands per second .* \(busy-upstream\)$/m)
    t.match(stdout.text, /no HTTP headers.*That does not hold\. Neither sends headers per event/)
    t.equal(stderr.text, '')
  },
)

t.test('colour on a terminal only, and not where it is not wanted', async t => {
  const ESC = '\x1b['
  for (const [given, coloured] of [
    [{ tty: true }, true],
    [{}, false],
    [{ tty: true, env: { NO_COLOR: '1' } }, false],
    [{ tty: true, env: { TERM: 'dumb' } }, false],
    [{ tty: true, json: true }, false],
  ] as const) {
    const { ended, stdout } = stage({ upstreamPerSecond: '5' }, given)
    t.equal(await ended, 0)
    t.equal(stdout.text.includes(ESC), coloured, JSON.stringify(given))
  }
})

t.test('JSON is the same as the server’s answer', async t => {
  const one = stage({ scenario: 'mobile', stripsUpgrade: 'true' }, { json: true })
  t.equal(await one.ended, 0)
  t.same(JSON.parse(one.stdout.text), plain(advise({ scenario: 'mobile', stripsUpgrade: true })))
  const all = stage({}, { json: true, tty: true })
  t.equal(await all.ended, 0)
  t.same(JSON.parse(all.stdout.text), { scenarios: plain(adviseOnAll()) })
})

t.test('an invalid value is refused with the name of its flag', async t => {
  for (const [typed, told] of [
    [{ upstreamPerSecond: 'fast' }, /^--upstream: /],
    [{ scenario: 'poker' }, /^--scenario: .*"chat"/],
    [{ sessions: '0', cutsIdleAfterSeconds: '-1' }, /^--sessions: .*\n--cuts-idle: /],
  ] as const) {
    const { ended, stdout, stderr } = stage(typed)
    t.equal(await ended, 2)
    t.match(stderr.text, told)
    t.equal(stdout.text, '')
  }
})

t.test('a person is asked for a scenario first, then for the network', async t => {
  const { ended, stdout, stderr, stdin } = stage({}, { tty: true, env: { NO_COLOR: '1' } })
  await shown(stderr, 'Enter for something else: ')
  t.match(stderr.text, / 1 chat +Chat with streamed answers/)
  stdin.write('poker\n')
  await shown(stderr, 'Type a number from 1 to 10 or a name.')
  stdin.write('2\n')
  await shown(stderr, 'headers')
  stdin.write('\n')
  await shown(stderr, 'strip the upgrade')
  stdin.write('perhaps\n')
  await shown(stderr, 'Type y or n.')
  stdin.write('Yes\n')
  await shown(stderr, 'buffer responses')
  stdin.write('n\n')
  t.equal(await ended, 0)
  t.notMatch(stderr.text, 'How many', 'the scenario says it')
  t.match(stdout.text, /^Collaborative editing: /)
  t.match(stdout.text, /^Use SSE\. Otherwise long-poll\.$/m)
})

t.test('without a scenario a person is asked about the usage', async t => {
  const { ended, stdout, stderr, stdin } = stage({}, { tty: true, env: { NO_COLOR: '1' } })
  const answers: [question: string, line: string][] = [
    ['something else: ', ''],
    ['commands a second', 'many'],
    ['Type a number.', ''],
    ['How many sessions', '8'],
    ['HTTP/1.1', 'y'],
    ['send headers', ''],
    ['strip the upgrade', ''],
    ['buffer responses', ''],
  ]
  for (const [question, line] of answers) {
    await shown(stderr, question)
    stdin.write(`${line}\n`)
  }
  t.equal(await ended, 0)
  t.match(stdout.text, /^Use WebSocket\./)
  t.match(stdout.text, /8 streams would use up the 6 connections .*\(many-sessions\)/)
})

t.test('Ctrl-C and Ctrl-D leave', async t => {
  for (const key of ['\x03', '\x04']) {
    const { ended, stderr, stdout, stdin } = stage({}, { tty: true })
    await shown(stderr, 'something else: ')
    stdin.write(key)
    t.equal(await ended, 130)
    t.equal(stdout.text, '')
  }
  const { ended, stderr, stop } = stage({}, { tty: true })
  await shown(stderr, 'something else: ')
  stop.abort()
  t.equal(await ended, 130)
})

t.test('every need has a flag with a description', async t => {
  t.same(guideFlags.map(({ name }) => name).sort(), Object.keys(GuideQuestion.shape).sort())
  for (const { flag, about } of guideFlags) {
    t.match(flag, /^--[a-z-]+( <[a-z ]+>)?$/)
    t.ok(about.length > 10, flag)
  }
})

interface Ended {
  code: unknown
  text: string
  complaint: string
}

/** Runs the real command line with nothing to read from. */
async function twinrail(...args: string[]): Promise<Ended> {
  const cli = new URL('../../src/cli/main.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [...TYPESCRIPT, cli, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const read = async (output: typeof child.stdout) => (await output.toArray()).join('')
  const [text, complaint] = await Promise.all([read(child.stdout), read(child.stderr)])
  return {
    code: child.exitCode ?? (await new Promise(resolve => child.on('exit', resolve))),
    text,
    complaint,
  }
}

t.test('as a process: flags in all forms, and no questions in a pipe', async t => {
  const [pipe, flags] = await Promise.all([
    twinrail('guide'),
    twinrail('guide', '--json', '--upstream', '5', '--no-websocket', '--cuts-idle=60', '--plain-http'),
  ])
  t.match(pipe, { code: 2, text: '', complaint: /no terminal to ask.*--scenario chat/s })
  const needs = { upstreamPerSecond: 5, webSocket: false, cutsIdleAfterSeconds: 60, plainHttp: true }
  t.equal(flags.code, 0)
  t.same(JSON.parse(flags.text), plain(advise(needs)))
})
