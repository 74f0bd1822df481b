/** What the author of an embedded server reads on the terminal when something goes wrong. */
import { spawn } from 'node:child_process'
import t, { type Test } from 'tap'
import { TYPESCRIPT } from '../fixtures/typescript.ts'
import { startRun, terminalOf } from '../fixtures/wire-server.ts'

const fixture = new URL('../fixtures/embedded-server.ts', import.meta.url).pathname

/** Starts the server in a process of its own. */
async function start(t: Test, env: Record<string, string> = {}) {
  const { NODE_OPTIONS: _, ...inherited } = process.env
  const child = spawn(process.execPath, [...TYPESCRIPT, fixture], {
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const output = { stderr: '' }
  child.stderr.on('data', data => {
    output.stderr += data
  })
  /** Resolves with everything on stderr, once the process is gone. */
  const ended = async () => {
    const closed = new Promise(resolve => child.once('close', resolve))
    child.kill('SIGKILL')
    await closed
    return output.stderr
  }
  for await (const data of child.stdout as AsyncIterable<Buffer>) return { url: String(data).trim(), ended }
  throw new Error(`the server did not start: ${output.stderr}`)
}

const SECRET = 'told to the agent only'

t.test('without a logger, stack traces and warnings go to stderr, and no content of events', async t => {
  const { url, ended } = await start(t)
  const messages: string[] = []
  const errorIds: string[] = []
  for (const how of ['error', 'cause', 'text']) {
    const runId = await startRun(url, 's', 'failing', { how, secret: SECRET })
    const { data } = await terminalOf(url, 's', runId)
    messages.push(String(data?.['message']))
    errorIds.push(String(data?.['errorId']))
  }
  for (let i = 0; i < 2; i++) {
    await fetch(`${url}/v1/agents`, { headers: { origin: 'https://app.example' } }).then(r => r.text())
  }
  const stderr = await ended()
  for (const [i, errorId] of errorIds.entries()) {
    t.match(messages[i], new RegExp(`server’s own log.*${errorId}`), 'the client is told where the cause is')
    t.match(stderr, `errorId=${errorId}`, 'and there it is')
  }
  t.match(stderr, /^twinrail: an agent failed \(agent=failing runId=\S+ errorId=\S+\)$/m)
  t.match(stderr, /^Error: the model is away\n {4}at .*embedded-server\.ts/m, 'a stack trace of the agent')
  t.match(stderr, /^TypeError: no answer\n[\s\S]+?^caused by: Error: the model is away\n {4}at /m)
  t.match(stderr, /^thrown string: only a text$/m)
  t.equal(stderr.split('--origin https://app.example ').length, 2, 'a refused origin is reported once')
  t.notMatch(stderr, SECRET, 'no content of events, no fields of errors')
  t.notMatch(stderr, /"level"/, 'plain text')
})

t.test('logger: false silences it', async t => {
  const { url, ended } = await start(t, { logger: 'false' })
  const runId = await startRun(url, 's', 'failing', { how: 'error', secret: SECRET })
  t.match(await terminalOf(url, 's', runId), { type: 'run.failed', data: { code: 'agent-error' } })
  t.equal(await ended(), '')
})
