/**
 * The adapters of docs/pages.md for Vue, Svelte and Solid. With `FRAMEWORKS=<folder with node_modules>` they run with
 * the frameworks of that folder, otherwise with stand-ins for the few functions that they call.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import t, { type Test } from 'tap'
import type { Client } from '../../client/index.ts'
import type { SessionSnapshot, SessionStore } from '../../client/view/index.ts'
import { connect, stage, until } from './stage.ts'

const root = new URL('../../', import.meta.url).pathname
const frameworks = process.env['FRAMEWORKS']
const pages = readFileSync(join(root, 'docs/pages.md'), 'utf8')

/** The code under a heading. */
function codeOf(heading: string): string {
  const code = new RegExp(`^## ${heading}\\n\\n\`\`\`ts\\n(.*?)^\`\`\``, 'ms').exec(pages)?.[1]
  if (!code) throw new Error(`docs/pages.md has no code for ${heading}`)
  return code
}

/** What the adapters need of each framework, and what ends a scope. */
const standIns: Record<string, string> = {
  vue: `
    let disposers
    export const shallowRef = value => ({ value })
    export const onScopeDispose = dispose => void disposers.push(dispose)
    export const effectScope = () => {
      const own = []
      return { run(use) { disposers = own; return use() }, stop() { for (const dispose of own) dispose() } }
    }`,
  'svelte/store': `
    export const readable = (initial, start) => ({
      subscribe(listener) {
        listener(initial)
        return start(listener)
      },
    })`,
  'solid-js': `
    let disposers
    export const createSignal = value => [() => value, next => void (value = next)]
    export const onCleanup = dispose => void disposers.push(dispose)
    export const createRoot = use => {
      const own = (disposers = [])
      return use(() => { for (const dispose of own) dispose() })
    }`,
}

/** An adapter in use: what it shows now, its store, and its end. */
interface Used {
  view(): SessionSnapshot
  store: SessionStore
  stop(): void
}

/** Loads the adapter under a heading, and hands it to `use` with what the framework exports. */
async function load(t: Test, heading: string, framework: string, exported: string) {
  const { outputFiles } = await build({
    stdin: {
      contents: `${codeOf(heading)}\n${exported}`,
      loader: 'ts',
      resolveDir: frameworks ?? root,
    },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    plugins: [
      {
        name: 'packages',
        setup({ onResolve, onLoad }) {
          onResolve({ filter: /^twinrail-client/ }, ({ path }) => ({
            path: join(root, path.replace('twinrail-client', 'client'), 'index.ts'),
          }))
          if (frameworks) return
          onResolve({ filter: new RegExp(`^${framework}$`) }, ({ path }) => ({ path, namespace: 'stand-in' }))
          onLoad({ filter: /.*/, namespace: 'stand-in' }, ({ path }) => ({ contents: standIns[path]! }))
        },
      },
    ],
  })
  const file = join(t.testdir(), 'adapter.mjs')
  writeFileSync(file, outputFiles[0]!.text)
  return import(file)
}

const adapters: Record<string, (t: Test, client: Client) => Promise<Used>> = {
  async Vue(t, client) {
    const { useSession, effectScope } = await load(t, 'Vue', 'vue', "export { effectScope } from 'vue'")
    const scope = effectScope()
    const { view, store } = scope.run(() => useSession(client, 'room'))
    return { view: () => view.value, store, stop: () => scope.stop() }
  },
  async Svelte(t, client) {
    const { session } = await load(t, 'Svelte', 'svelte/store', '')
    const { view, store } = session(client, 'room')
    let shown: SessionSnapshot
    const stop = view.subscribe((value: SessionSnapshot) => {
      shown = value
    })
    return { view: () => shown, store, stop }
  },
  async Solid(t, client) {
    const { createSession, createRoot } = await load(
      t,
      'Solid',
      'solid-js',
      "export { createRoot } from 'solid-js'",
    )
    return createRoot((stop: () => void) => ({ ...createSession(client, 'room'), stop }))
  },
}

for (const [framework, adapt] of Object.entries(adapters)) {
  t.test(`${framework}: shows the session, sends its commands, and stops following`, async t => {
    const client = connect(t, await stage(t))
    const { view, store, stop } = await adapt(t, client)
    await until(() => view().caughtUp)
    await store.start('asking', { query: 'it' })
    await until(() => view().questions.length === 1)
    t.match(view(), { status: 'running', messages: [{ text: 'it' }, {}] })
    await store.answer(view().questions[0]!.requestId, true)
    await until(() => view().status === 'completed')
    t.match(view(), { messages: [{ role: 'user' }, { role: 'assistant', text: 'Done.' }] })
    stop()
    await until(() => client.quality.current.state === 'idle')
    t.equal(store.getSnapshot().following, false)
  })
}
