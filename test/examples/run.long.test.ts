/** `npm run example`: it lists the examples, starts one, and refuses what it does not know. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'

const root = fileURLToPath(new URL('../../', import.meta.url))
const { scripts } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))

/** Starts the script of package.json, without npm. */
function run(t: Test, ...args: string[]) {
  const [node, ...options] = scripts.example.split(' ')
  t.equal(node, 'node')
  // The tests' loader is not what a user has.
  const { NODE_OPTIONS: _, ...env } = process.env
  const child = spawn(process.execPath, [...options, ...args], { cwd: root, env })
  t.teardown(() => child.kill('SIGKILL'))
  const output = { text: '' }
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', text => {
      output.text += text
    })
  }
  const closed = once(child, 'close').then(([code]) => ({ code, text: output.text }))
  return { child, output, closed }
}

t.test('without a name, and with --help, it lists the examples that there are', async t => {
  const { code, text } = await run(t).closed
  t.equal(code, 0)
  t.same(await run(t, 'chat', '--help').closed, { code, text })
  const names = [...text.matchAll(/^ {2}(\w+) /gm)].map(([, name]) => name)
  t.ok(names.includes('chat') && names.includes('documents'), text)
  for (const name of names) {
    for (const file of ['server.ts', 'README.md', 'page/main.tsx']) {
      t.ok(existsSync(`${root}examples/${name}/${file}`), `${name}/${file}`)
    }
  }
})

t.test('a wrong name, port or log is refused with what is expected', async t => {
  for (const [args, told] of [
    [['chess'], /Received "chess", expected one of: chat, documents/],
    [['chat', '--port', 'many'], /--port: received many, expected a number from 0 to 65535/],
    [['chat', '--log', 'paper'], /--log: received paper, expected memory, lmdb:<folder> or redis:/],
    [['chat', '--speed', '3'], /Unknown option '--speed'/],
  ] as const) {
    const { code, text } = await run(t, ...args).closed
    t.equal(code, 2, text)
    t.match(text, told)
  }
})

/** Starts an example on a free port, and gives its address when it is ready. */
async function start(t: Test, ...args: string[]) {
  const { child, output, closed } = run(t, ...args, '--port', '0')
  while (!/ready at/.test(output.text)) {
    await Promise.race([
      once(child.stdout, 'data'),
      closed.then(({ text }) => {
        throw new Error(text)
      }),
    ])
  }
  const url = /ready at (http:\/\/127\.0\.0\.1:\d+)/.exec(output.text)?.[1]
  t.ok(url, output.text)
  return { url, child, closed }
}

t.test('an agent asks its users: the thread that checks their answers starts', async t => {
  const { url } = await start(t, 'chat')
  const body = JSON.stringify({
    id: '1',
    type: 'run.start',
    agent: 'chat',
    input: { prompt: 'Refund order 1042' },
  })
  const headers = { 'content-type': 'application/json', accept: 'text/event-stream' }
  const leave = new AbortController()
  t.teardown(() => leave.abort())
  const { signal } = leave
  const stream = await fetch(`${url}/v1/sessions/s/commands`, { method: 'POST', body, headers, signal })
  const decoder = new TextDecoder()
  let text = ''
  for await (const piece of stream.body as ReadableStream<Uint8Array>) {
    text += decoder.decode(piece, { stream: true })
    if (/"type":"(input\.requested|run\.(failed|completed))"/.test(text)) break
  }
  t.match(text, /"type":"input\.requested"/)
})

t.test('it serves the page on loopback, keeps sessions in the log, and stops at a signal', async t => {
  const log = `lmdb:${t.testdir()}`
  const ready = () => start(t, 'documents', '--log', log)
  const stop = async ({ child, closed }: Awaited<ReturnType<typeof ready>>) => {
    child.kill('SIGTERM')
    t.equal((await closed).code, 0)
  }
  const first = await ready()
  const page = await fetch(`${first.url}/`)
  t.match(await page.text(), /<title>Documents · Twinrail<.*<script type="module" src="main.js">/s)
  t.match(page.headers.get('content-security-policy'), /default-src 'self'/)
  for (const path of ['/main.js', '/main.css', '/samples/tea.md']) {
    t.equal((await fetch(`${first.url}${path}`)).status, 200, path)
  }
  const body = JSON.stringify({ sessionId: 'kept', metadata: { title: 'Kept' } })
  const headers = { 'content-type': 'application/json' }
  await fetch(`${first.url}/v1/sessions`, { method: 'POST', body, headers })
  await stop(first)
  const second = await ready()
  t.match(await (await fetch(`${second.url}/v1/sessions/kept`)).json(), { metadata: { title: 'Kept' } })
  await stop(second)
})
