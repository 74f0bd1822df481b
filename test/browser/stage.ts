/** A real browser in front of the real server and the page that Vite built; skipped, visibly, without Chromium. */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { build as bundle } from 'esbuild'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import type { Test } from 'tap'
import { build } from 'vite'
import type * as Twinrail from '../../client/index.ts'
import type * as Shared from '../../client/shared/index.ts'
import { createDeepsearch } from '../../src/agents/deepsearch/deepsearch.ts'
import { playback } from '../../src/agents/playback.ts'
import { createServer as createTwinrail, type ServerOptions } from '../../src/index.ts'
import { asking, echoing } from '../client/stage.ts'
import { keyOfSources } from '../fixtures/sources.ts'

const CHROMIUM = '/usr/bin/chromium'

/** Chromium without its windows where it is installed: in a new profile a page takes 0.3 s of CPU there, and 2 s with a window. */
let executablePath =
  process.env['CHROMIUM'] ??
  ['/usr/bin/chromium-headless-shell', CHROMIUM].find(path => existsSync(path)) ??
  CHROMIUM

/** From now on this process's tests run in the whole browser, as users have it, where it is installed. */
export function useWholeBrowser(): void {
  if (!process.env['CHROMIUM'] && existsSync(CHROMIUM)) executablePath = CHROMIUM
}

/** Why browser tests are skipped, or false. */
export const skip = existsSync(executablePath)
  ? false
  : `no Chromium at ${executablePath}: apt-get install chromium`

const root = fileURLToPath(new URL('../../', import.meta.url))

/**
 * Builds the page, as `npm run build` does, unless another test has built it of the same sources. Old files stay: another test
 * may serve them at the moment.
 */
export async function buildPage(): Promise<void> {
  const stamp = `${root}node_modules/.cache/twinrail-page`
  const key = keyOfSources()
  // The time tells a page that `npm run build` has made since.
  const stamped = () =>
    `${key} ${statSync(`${root}client/page/index.html`, { throwIfNoEntry: false })?.mtimeMs}`
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === stamped()) return
  await build({ root: `${root}client/playground`, logLevel: 'error', build: { emptyOutDir: false } })
  writeFileSync(stamp, stamped())
}

/** A server with the agents that ship, and one that asks. */
export async function serve(t: Test, options: ServerOptions = {}): Promise<string> {
  const server = await createTwinrail({
    ...options,
    agents: [
      createDeepsearch({
        corpus: [`${root}README.md`, `${root}PROTOCOL.md`, `${root}docs`],
        baseUrl: 'about/',
      }),
      playback,
      asking,
      echoing,
    ],
  })
  t.teardown(() => server.close({ graceMs: 0 }))
  return server.listen({ port: 0 })
}

/** A wire that can be cut: what is open breaks, and nothing gets through until it is mended. */
export async function wire(t: Test, target: string) {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  let cut = false
  const server = createServer(near => {
    if (cut) return near.destroy()
    const far = connect(Number(port), hostname)
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        near.destroy()
        far.destroy()
      })
    }
    near.pipe(far).pipe(near)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut() {
      cut = true
      for (const socket of sockets) socket.destroy()
    },
    mend() {
      cut = false
    },
  }
}

let browser: Promise<Browser> | undefined

interface OpenOptions {
  width?: number
  height?: number
  dark?: boolean
}

/** A desk and a phone, each in one colour scheme: colours move nothing. For screenshots, each in both. */
export const screens = [
  { name: 'desk', width: 1280, height: 800, dark: false },
  { name: 'phone', width: 390, height: 844, dark: true },
].flatMap(screen => (process.env['SCREENSHOTS'] ? [screen, { ...screen, dark: !screen.dark }] : [screen]))

/** A browser's profile: its tabs share connections and storage. */
export async function profile(t: Test, options: OpenOptions = {}): Promise<BrowserContext> {
  browser ??= chromium.launch({
    executablePath,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
  const context = await (await browser).newContext({
    bypassCSP: false,
    viewport: { width: options.width ?? 1280, height: options.height ?? 800 },
    colorScheme: options.dark ? 'dark' : 'light',
  })
  t.teardown(() => context.close())
  return context
}

export async function open(t: Test, url: string, options: OpenOptions = {}): Promise<Page> {
  return openTab(t, await profile(t, options), url)
}

export async function openTab(t: Test, context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage()
  // Only against hanging.
  page.setDefaultTimeout(120_000)
  page.on('pageerror', error => t.fail(`the page threw: ${error.message}`))
  // tsx names functions by a helper that is not there where `evaluate` takes them.
  await page.addInitScript('globalThis.__name = named => named')
  await page.goto(url)
  return page
}

declare global {
  var twinrail: typeof Twinrail & typeof Shared
}

let bundled: Promise<string> | undefined

/** The client as one script. */
async function bundleClient(): Promise<string> {
  const { outputFiles } = await bundle({
    stdin: {
      contents: "export * from './index.ts'; export * from './shared/index.ts'",
      resolveDir: new URL('../../client/', import.meta.url).pathname,
      loader: 'ts',
    },
    bundle: true,
    format: 'iife',
    globalName: 'twinrail',
    target: 'es2022',
    write: false,
  })
  return outputFiles[0]!.text
}

/** A page of the server's own origin with the client in it, as a bundle. */
export async function clientPage(t: Test, url: string, context?: BrowserContext): Promise<Page> {
  bundled ??= bundleClient()
  const page = await openTab(t, context ?? (await profile(t)), `${url}/healthz`)
  await page.evaluate(`${await bundled}; globalThis.twinrail = twinrail`)
  return page
}

export async function closeBrowser(): Promise<void> {
  await (await browser)?.close()
}

/** What a rail shows of its newest turn, once that has ended. */
export async function answerOn(page: Page, rail: 'A' | 'B'): Promise<string> {
  const turn = page.locator(`[data-rail="${rail}"] .turn`).last()
  await turn.locator('.outcome').waitFor()
  return (await turn.textContent()) ?? ''
}

/** Starts an agent by the page's form; `fields` are the names of the input's properties. */
export async function ask(
  page: Page,
  agent: string,
  fields: Readonly<Record<string, string | number>>,
): Promise<void> {
  await page.locator('#agent').selectOption(agent)
  const more = page.locator('#ask details:not([open]) > summary')
  if ((await more.count()) > 0) await more.click()
  for (const [name, value] of Object.entries(fields))
    await page.locator(`#ask [name="${name}"]`).fill(String(value))
  await page.getByRole('button', { name: `Start ${agent}` }).click()
}
