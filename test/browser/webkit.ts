/** WebKit for tests: WebKitGTK's MiniBrowser on a screen in memory, driven over the WebDriver protocol (W3C, classic). */
import { spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import type { Test } from 'tap'
import { output, program } from '../fixtures/program.ts'
import { freePort, listening } from '../fixtures/redis-server.ts'
import type { Tab } from './core.ts'

const packages = { WebKitWebDriver: 'webkit2gtk-driver', Xvfb: 'xvfb' }
const missing = Object.entries(packages).filter(([name]) => spawnSync(name, ['-help']).error)

/** Why tests that need WebKit are skipped, or false. */
export const noWebKit =
  missing.length > 0 &&
  `no ${missing.map(([name]) => name).join(', no ')}: apt-get install ${missing.map(([, name]) => name).join(' ')}`

/** Time that a page may take for what a test waits for, in ms; only against hanging. */
const WAIT_MS = 120_000

/** The name of an element's id in the protocol. */
const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf'

/** Starts a browser that ends with the test. Its tabs share connections and storage. */
export async function startWebKit(t: Test): Promise<WebKit> {
  const screen = program(t, tmpdir(), ['Xvfb', '-displayfd', '1', '-screen', '0', '1280x800x24'])
  // Xvfb writes the number of a display that was free.
  const display = await output(screen, text => text.endsWith('\n'))
  const port = await freePort()
  const command = ['WebKitWebDriver', `--port=${port}`] as const
  // Without a language, as in containers, pages see the language C, which Intl refuses.
  const env = { DISPLAY: `:${display.trim()}`, LC_ALL: 'en_US.UTF-8' }
  const driver = program(t, tmpdir(), command, env)
  // A program that writes into a full pipe stands still.
  for (const { stdout, stderr } of [screen, driver]) for (const pipe of [stdout, stderr]) pipe?.resume()
  await listening(port, driver)
  const { sessionId } = await send<{ sessionId: string }>('POST', `http://127.0.0.1:${port}/session`, {
    capabilities: { alwaysMatch: { timeouts: { script: WAIT_MS, pageLoad: WAIT_MS } } },
  })
  const session = `http://127.0.0.1:${port}/session/${sessionId}`
  const browser = new WebKit(session, await send<string>('GET', `${session}/window`))
  t.teardown(() => browser.close())
  return browser
}

/** Sends a command to the driver. @throws Error what the driver says */
async function send<T>(method: string, address: string, body?: object): Promise<T> {
  const response = await fetch(address, { method, ...(body && { body: JSON.stringify(body) }) })
  const { value } = (await response.json()) as { value: T & { error?: string; message?: string } }
  if (!response.ok)
    throw new Error(`${method} ${new URL(address).pathname}: ${value.error}: ${value.message}`)
  return value
}

/** One browser. It takes one command at a time, and each goes to the tab that it was switched to last. */
export class WebKit {
  readonly #session: string
  /** The tab that the browser began with. */
  readonly #first: string
  /** The tab that commands go to. */
  #current: string

  /** @param session the address of the session at the driver @param first the tab that it began with */
  constructor(session: string, first: string) {
    this.#session = session
    this.#first = first
    this.#current = first
  }

  close(): Promise<null> {
    return send('DELETE', this.#session)
  }

  /** Opens a tab, in a window of its own: of the tabs of one window, the driver shows the first only. */
  async newTab(): Promise<Tab> {
    const { handle } = await this.#send<{ handle: string }>('POST', 'window/new', { type: 'window' })
    const command = async <T>(method: string, path: string, body?: object): Promise<T> => {
      await this.#switchTo(handle)
      return this.#send<T>(method, path, body)
    }
    const post = <T>(path: string, body: object) => command<T>('POST', path, body)
    const run = <T>(script: string, ...args: string[]) => post<T>('execute/sync', { script, args })
    const click = async (find: string, ...args: string[]) => {
      const element = await run<Record<string, string>>(find, ...args)
      await post(`element/${element[ELEMENT]}/click`, {})
    }
    return {
      goto: async url => {
        await post('url', { url })
        await run(collectErrors)
      },
      click: selector => click('return document.querySelector(arguments[0])', selector),
      select: (selector, value) => click(optionOf, selector, value),
      waitFor: selector => post('execute/async', { script: waitFor, args: [selector] }),
      text: selector => run('return document.querySelector(arguments[0]).textContent.trim()', selector),
      thrown: () => run('return thrown'),
      close: async () => {
        await command('DELETE', 'window')
        // No other command works in a tab that is gone.
        await this.#switchTo(this.#first)
      },
    }
  }

  async #switchTo(handle: string): Promise<void> {
    if (this.#current === handle) return
    await this.#send('POST', 'window', { handle })
    this.#current = handle
  }

  #send<T>(method: string, path: string, body?: object): Promise<T> {
    return send(method, `${this.#session}/${path}`, body)
  }
}

// The protocol tells no errors of pages: those that come before this are not seen.
const collectErrors = `
  globalThis.thrown = []
  addEventListener('error', ({ message }) => thrown.push(message))
  addEventListener('unhandledrejection', ({ reason }) => thrown.push(String(reason)))`

const optionOf = `
  const [selector, value] = arguments
  return [...document.querySelector(selector).options].find(option => option.value === value)`

const waitFor = `
  const [selector, done] = arguments
  const look = () => {
    if (!document.querySelector(selector)) return
    observer.disconnect()
    done(null)
  }
  const observer = new MutationObserver(look)
  observer.observe(document, { subtree: true, childList: true, attributes: true })
  look()`
