/** The code in docs/mount.md does what it says (docs-snippets compiles it); the page and the documents link below the prefix. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import type { Handler } from '../../src/index.ts'
import { buildPage } from '../browser/stage.ts'
import { asExpress, mountHandler } from '../fixtures/mounts.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const document = readFileSync(join(root, 'docs/mount.md'), 'utf8')
const snippets = new Map(
  [...document.matchAll(/^```ts mount=(\S+)\n(.*?)^```/gms)].map(([, name = '', code = '']) => [name, code]),
)

/** Loads a snippet as a module, which imports the package's sources and listens on a free port. */
async function load<T>(t: Test, name: string): Promise<T> {
  const folder = t.testdir()
  mkdirSync(folder, { recursive: true })
  const at = (path: string) => new URL(`../../${path}`, import.meta.url).href
  const code = (snippets.get(name) as string)
    .replaceAll(`from 'twinrail'`, `from '${at('src/index.ts')}'`)
    .replaceAll(`from 'twinrail/log/lmdb'`, `from '${at('src/log/lmdb.ts')}'`)
    .replaceAll(/from '(fastify|zod)'/g, (_, name) => `from '${import.meta.resolve(name)}'`)
    .replace("folder: '.twinrail'", `folder: ${JSON.stringify(join(folder, 'log'))}`)
    .replace('logger: true', 'logger: false')
    .replace('8787', '0')
  writeFileSync(join(folder, `${name}.ts`), code)
  return (await import(join(folder, `${name}.ts`))) as T
}

const hello = (url: string) =>
  new Promise<string>((resolve, reject) => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/ws`)
    socket.on('error', reject).on('message', message => {
      resolve(String(message))
      socket.terminate()
    })
  })

t.test('the Fastify snippet', async t => {
  const { app } = await load<{ app: FastifyInstance }>(t, 'fastify')
  t.teardown(() => app.close())
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  t.equal(await (await fetch(url)).text(), 'the app')
  t.match(await hello(`${url}/rt`), '"hello"')
  t.match(await app.twinrail().sessions.get('news'), { head: /-1$/ })
  t.equal((await fetch(`${url}/rt/`)).status, 404)
  t.equal((await fetch(`${url}/rt/metrics`)).status, 404)
})

t.test('the snippet of Node’s http', async t => {
  const { rt, server } = await load<{ rt: Handler; server: Server }>(t, 'http')
  t.teardown(async () => {
    await rt.close({ graceMs: 0 })
    server.closeAllConnections()
    server.close()
  })
  if (!server.listening) await new Promise(resolve => server.once('listening', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  t.equal(await (await fetch(`${url}/elsewhere`)).text(), 'the app')
  t.equal((await fetch(`${url}/rt/healthz`)).status, 200)
  t.match(await hello(`${url}/rt`), '"hello"')
})

t.test('every link of the page and of the documents leads below the prefix, to something', async t => {
  await buildPage()
  const { url, appUrl } = await mountHandler(t, {}, asExpress)
  const seen = new Set<string>()
  const broken: string[] = []
  const visit = async (address: string, from: string): Promise<void> => {
    const { href, origin, pathname } = new URL(address)
    const page = href.replace(/#.*/, '')
    if (origin !== appUrl || seen.has(page)) return
    seen.add(page)
    if (!pathname.startsWith('/rt/')) return void broken.push(`${page} in ${from}: outside the prefix`)
    // Files of the repository that are no documents: the server does not show them.
    if (
      /^\/rt\/about\/(Dockerfile$|compose\.yaml$|deploy\/|(client\/python\/)?examples\/|bench\/)/.test(
        pathname,
      )
    )
      return
    const response = await fetch(page)
    const text = await response.text()
    if (response.status !== 200) return void broken.push(`${page} in ${from}: ${response.status}`)
    if (!String(response.headers.get('content-type')).startsWith('text/html')) return
    for (const [, link = ''] of text.matchAll(/\b(?:href|src)="([^"]+)"/g)) {
      if (!/^(data|mailto):/.test(link)) await visit(new URL(link, response.url).href, page)
    }
  }
  await visit(`${url}/`, 'the test')
  for (const path of ['README.md', 'docs/clients/openai.md']) await visit(`${url}/about/${path}`, 'the test')
  t.same(broken, [])
  t.ok(seen.size > 15, `${seen.size} pages and files`)
  t.ok([...seen].some(page => page.includes('/rt/assets/') && page.endsWith('.js')))
})
