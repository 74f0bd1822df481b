/** examples/put-it-in-front: an endpoint that nobody changed, Twinrail before it, and a page with `useChat` in Chromium. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { build, preview } from 'vite'
import { closeBrowser, skip as noChromium, openTab, profile } from '../browser/stage.ts'
import { serve } from '../e2e/stage.ts'
import { freePort } from '../fixtures/redis-server.ts'
import { fetchPage } from '../fixtures/wire-clients.ts'
import { eventually, state } from '../fixtures/wire-server.ts'

const folder = fileURLToPath(new URL('../../examples/put-it-in-front/', import.meta.url))

const isThere = (...args: string[]) => spawnSync('python3', args).status === 0
const noPython = isThere('--version') ? false : 'python3 is not installed'
const noFastApi =
  noPython ||
  (isThere('-c', 'import fastapi, uvicorn') ? false : 'python3 has no modules fastapi and uvicorn')

/** What the agent says to `useChat`. */
const ANSWER = Array.from({ length: 8 }, (_, i) => `The moon pulls at the sea, ${i + 1} times a day. `).join(
  '',
)

t.setTimeout(0)
t.teardown(closeBrowser)

/** The agent in a process of its own, and what it has printed. */
async function agent(t: Test, args: (port: string) => string[]) {
  const port = String(await freePort())
  const child: ChildProcess = spawn('python3', args(port), {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
  })
  t.teardown(() => child.kill('SIGKILL'))
  let said = ''
  child.stdout?.on('data', data => {
    said += data
  })
  const url = `http://127.0.0.1:${port}/v1/tool/deepsearch`
  await eventually(t, 'the agent listens', () =>
    fetch(url).then(
      () => true,
      () => false,
    ),
  )
  return { url, lines: (line: RegExp) => said.split('\n').filter(one => line.test(one)).length }
}

/** Builds the page as `vite build` does, and serves it. */
async function servePage(t: Test): Promise<string> {
  const outDir = t.testdir()
  const esbuild = { jsx: 'automatic' } as const
  await build({
    root: folder,
    configFile: false,
    logLevel: 'error',
    esbuild,
    build: { outDir, emptyOutDir: true },
  })
  const server = await preview({
    root: folder,
    configFile: false,
    build: { outDir },
    preview: { port: await freePort(), host: '127.0.0.1' },
  })
  t.teardown(() => server.close())
  return server.resolvedUrls?.local[0] ?? ''
}

const answer = async (page: Page) => (await page.locator('p.assistant').allTextContents()).at(-1) ?? ''

async function ask(t: Test, page: Page, prompt: string): Promise<void> {
  await page.fill('input', prompt)
  await page.click('text=Send')
  await isMidway(t, page)
}

const isMidway = (t: Test, page: Page) =>
  eventually(t, 'a part of the answer is shown', async () => (await answer(page)).length > 20)

const agents = {
  'plain http.server': { skip: noPython, args: (port: string) => ['plain_agent.py', port] },
  FastAPI: {
    skip: noFastApi,
    args: (port: string) => ['-m', 'uvicorn', 'fastapi_agent:app', '--port', port],
  },
}

for (const [name, { skip, args }] of Object.entries(agents)) {
  t.test(name, { skip: skip || noChromium }, async t => {
    const upstream = await agent(t, args)
    const { url } = await serve(t, ['--agent', `support=auto:${upstream.url}`])
    const browser = await profile(t)
    const chat = `${await servePage(t)}?server=${encodeURIComponent(url)}#chat1`
    const page = await openTab(t, browser, chat)
    const outcome = async () => (await state(url, 'chat1')).runs?.at(-1)?.status

    await t.test('a reload and a second tab in the middle of an answer', async t => {
      await ask(t, page, 'Why tides?')
      await page.reload()
      await isMidway(t, page)
      t.not(await outcome(), 'completed', 'the answer is under way')
      const [second] = await Promise.all([browser.waitForEvent('page'), page.click('text=in a second tab')])
      let sockets = 0
      second.on('websocket', () => sockets++)
      await second.reload()
      for (const tab of [page, second]) {
        await eventually(t, 'the whole answer is shown', async () => (await answer(tab)) === ANSWER)
      }
      t.ok(sockets > 0, 'the second tab has a WebSocket')
      t.equal(await outcome(), 'completed')
      t.equal(upstream.lines(/^asked: Why tides\?$/), 1, 'the agent was asked once')
      const { events } = await fetchPage(url, 'chat1', {})
      const sources = events.filter(({ type }) => type === 'source.added')
      t.equal(sources.length, 1, 'a source that comes with each word is told once')
      t.ok(
        events.some(({ type, data }) => type === 'run.status' && data?.['status'] === 'searching'),
        'the agent’s own status is told',
      )
      await second.close()
    })

    await t.test('Stop stops the agent', async t => {
      await page.reload()
      await ask(t, page, 'And now?')
      await page.click('text=Stop')
      await eventually(t, 'the run is cancelled', async () => (await outcome()) === 'cancelled')
      await eventually(t, 'the agent has stopped', () => upstream.lines(/^stopped$/) === 1)
      await eventually(t, 'the page may send again', () =>
        page.locator('button', { hasText: 'Stop' }).isDisabled(),
      )
    })
  })
}

t.test('the example is as small as it says', t => {
  for (const file of ['fastapi_agent.py', 'plain_agent.py', 'page.tsx', 'README.md']) {
    t.ok(readFileSync(folder + file, 'utf8').split('\n').length <= 60, file)
  }
  t.end()
})
