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
  const [command, ...options] = scripts.example.split(' ')
  // The tests' loader is not what a user has.
  const { NODE_OPTIONS: _, ...env } = process.env
  const child = spawn(`${root}node_modules/.bin/${command}`, [...options, ...args], { cwd: root, env })
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

t.test('without a name it lists the examples that there are', async t => {
  const { code, text } = await run(t).closed
  t.equal(code, 0)
  const names = [...text.matchAll(/^ {2}(\w+) /gm)].map(([, name]) => name)
  t.ok(names.includes('chat') && names.includes('documents'), text)
  for (const name of names) {
    for (const file of ['server.ts', 'README.md', 'page/main.tsx', 'page/index.html']) {
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

t.test('it serves the page on loopback, keeps sessions in the log, and stops at a signal', async t => {
  const log = `lmdb:${t.testdir()}`
  const ready = async () => {
    const { child, output, closed } = run(t, 'documents', '--port', '0', '--log', log)
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
  const stop = async ({ child, closed }: Awaited<ReturnType<typeof ready>>) => {
    child.kill('SIGTERM')
    t.equal((await closed).code, 0)
  }
  const first = await ready()
  const page = await fetch(`${first.url}/`)
  t.match(await page.text(), /<script type="module" src="main.js">/)
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
