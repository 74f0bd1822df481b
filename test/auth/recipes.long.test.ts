/** The recipes of docs/authorization.md do what they say. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Client } from '../../client/index.ts'
import type { TwinrailServer } from '../../src/index.ts'
import { call, command, ingest, post } from '../fixtures/wire-server.ts'
import { SECRET } from './stage.ts'

process.env['TWINRAIL_JWT_SECRET'] = SECRET
process.env['PLANT_KEY_SHA256'] = createHash('sha256').update('plant-key').digest('hex')

const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')
const document = `${read('docs/authorization.md')}\n${read('client/README.md')}`
const recipes = new Map(
  [...document.matchAll(/^```ts recipe=(\S+)\n(.*?)^```/gms)].map(([, name = '', code = '']) => [name, code]),
)

/**
 * Loads a recipe as a module, which imports the packages' sources in place of the built ones.
 * @param urls what stands in place of its addresses
 */
async function load<T>(t: Test, name: string, urls: Record<string, string> = {}): Promise<T> {
  let code = recipes.get(name)
  if (code === undefined) throw new Error(`docs/authorization.md has no recipe ${name}`)
  for (const [from, file] of [
    ['twinrail', 'src/index.ts'],
    ['twinrail-client', 'client/index.ts'],
  ]) {
    code = code.replaceAll(`from '${from}'`, `from '${new URL(`../../${file}`, import.meta.url).href}'`)
  }
  for (const [from, to] of Object.entries(urls)) code = code.replaceAll(from, to)
  const folder = t.testdir({ [`${name}.ts`]: code })
  return (await import(join(folder, `${name}.ts`))) as T
}

async function listening(t: Test, server: TwinrailServer): Promise<string> {
  t.teardown(() => server.close({ graceMs: 0 }))
  return server.listen({ port: 0 })
}

const event = { type: 'publish', event: { type: 'x.a', data: 1 } }

/** Each of two principals has sessions of its own, and the other one cannot tell that they exist. */
async function areApart(t: Test, url: string, one: Record<string, string>, other: Record<string, string>) {
  t.equal((await post(`${url}/v1/sessions`, { sessionId: 'of-one' }, one)).status, 201)
  t.equal((await command(url, 'of-one', event, one)).status, 200)
  t.equal((await call(`${url}/v1/sessions/of-one`, { headers: one })).status, 200)
  t.equal((await call(`${url}/v1/sessions/of-one`, { headers: other })).status, 404)
  t.equal((await command(url, 'of-one', event, other)).status, 403)
  t.equal((await call(`${url}/v1/sessions`, { headers: other })).body.sessions?.length, 0)
  t.equal((await call(`${url}/v1/sessions/of-one`)).status, 401)
  t.equal((await call(`${url}/metrics`, { headers: one })).status, 403)
}

t.test('every recipe has its test', async t => {
  const names = ['client', 'sign-tokens', 'cookies', 'producer', 'anonymous', 'support', 'auth']
  t.same([...recipes.keys()], names)
})

t.test('tokens for users, and a producer with an API key', async t => {
  const { tokenFor } = await load<{ tokenFor(id: string): Promise<string> }>(t, 'sign-tokens')
  const { server } = await load<{ server: TwinrailServer }>(t, 'producer')
  const url = await listening(t, server)
  const of = async (id: string) => ({ authorization: `Bearer ${await tokenFor(id)}` })
  await areApart(t, url, await of('u1'), await of('u2'))
  const key = { authorization: 'Bearer plant-key' }
  const produce = (id: string) => post(`${url}/v1/sessions/${id}/events`, { type: 'x.a', data: 1 }, key)
  t.equal((await produce('plant-1.line-7')).status, 200)
  t.equal((await produce('plant-2.line-7')).status, 403)
  t.equal((await call(`${url}/v1/sessions/plant-1.line-7`, { headers: key })).status, 403)
  t.equal((await ingest(url, 'plant-1.line-7', { type: 'x.a', data: 1 })).status, 401)
})

t.test('cookie sessions', async t => {
  const { server, signedIn } = await load<{ server: TwinrailServer; signedIn: Map<string, string> }>(
    t,
    'cookies',
  )
  const url = await listening(t, server)
  signedIn.set('a-1', 'ann').set('b-1', 'bob')
  const [ann, bob] = [{ cookie: 'theme=dark; sid=a-1' }, { cookie: 'sid=b-1' }]
  await areApart(t, url, ann, bob)
  const foreign = await call(`${url}/v1/sessions/of-one`, {
    headers: { ...ann, origin: 'https://evil.example' },
  })
  t.equal(foreign.status, 403, 'a page of another site cannot use the cookie')
  signedIn.delete('a-1')
  t.equal((await call(`${url}/v1/sessions/of-one`, { headers: ann })).status, 401, 'signed out')
})

t.test('anonymous visitors', async t => {
  const { server, newVisitor } = await load<{ server: TwinrailServer; newVisitor(): string }>(t, 'anonymous')
  const url = await listening(t, server)
  const visitor = () => ({ cookie: newVisitor().split(';')[0] as string })
  await areApart(t, url, visitor(), visitor())
})

t.test('support staff', async t => {
  type Users = Map<string, { id: string; isSupport: boolean }>
  const { server, users } = await load<{ server: TwinrailServer; users: Users }>(t, 'support')
  const url = await listening(t, server)
  for (const id of ['ann', 'bob', 'sue']) users.set(`Bearer ${id}`, { id, isSupport: id === 'sue' })
  const as = (id: string) => ({ authorization: `Bearer ${id}` })
  await areApart(t, url, as('ann'), as('bob'))
  t.equal((await call(`${url}/v1/sessions/of-one`, { headers: as('sue') })).status, 200)
  t.equal((await call(`${url}/v1/sessions`, { headers: as('sue') })).body.sessions?.length, 1)
  t.equal((await command(url, 'of-one', event, as('sue'))).status, 403)
  const removed = await call(`${url}/v1/sessions/of-one`, { method: 'DELETE', headers: as('sue') })
  t.equal(removed.status, 204)
  t.equal(
    (await call(`${url}/v1/sessions/of-one`, { headers: as('ann') })).status,
    200,
    'and is not deleted by it',
  )
})

t.test('the client gets its token from the application', async t => {
  const { tokenFor } = await load<{ tokenFor(id: string): Promise<string> }>(t, 'sign-tokens')
  const { server } = await load<{ server: TwinrailServer }>(t, 'producer')
  const url = await listening(t, server)
  let signedIn = true
  const asked: (string | undefined)[] = []
  const backend = createServer(async (request, response) => {
    asked.push(request.url)
    response.writeHead(signedIn ? 200 : 401, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ token: await tokenFor('u1'), expiresAt: Date.now() + 600_000 }))
  })
  await new Promise<void>(resolve => backend.listen(0, '127.0.0.1', resolve))
  t.teardown(() => backend.close())
  const app = `http://127.0.0.1:${(backend.address() as AddressInfo).port}`
  const urls = { 'https://twinrail.example.com': url, 'https://app.example.com': app }
  const { client } = await load<{ client: Client }>(t, 'client', urls)
  t.teardown(() => client.close())
  signedIn = false
  await t.rejects(client.session('c').publish('x.note', 1), {
    code: 'unauthorized',
    message: 'sign in first',
  })
  signedIn = true
  const { client: ofReadme } = await load<{ client: Client }>(t, 'auth', urls)
  t.teardown(() => ofReadme.close())
  for (const each of [client, ofReadme]) {
    asked.length = 0
    const session = each.session('c')
    await session.publish('x.note', 1)
    for await (const { type } of session.events()) if (type === 'caught-up') break
    t.same(asked, ['/twinrail-token'])
  }
})
