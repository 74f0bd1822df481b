/** The recipes of docs/authorization.md do what they say. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { TwinrailServer } from '../../src/server.ts'
import { call, command, ingest, post } from '../fixtures/wire-server.ts'
import { SECRET } from './stage.ts'

process.env['TWINRAIL_JWT_SECRET'] = SECRET
process.env['PLANT_KEY_SHA256'] = createHash('sha256').update('plant-key').digest('hex')

const document = readFileSync(new URL('../../docs/authorization.md', import.meta.url), 'utf8')
const recipes = new Map(
  [...document.matchAll(/^```ts recipe=(\S+)\n(.*?)^```/gms)].map(([, name = '', code = '']) => [name, code]),
)

/** Loads a recipe as a module, which imports this package's source in place of its built one. */
async function load<T>(t: Test, name: string): Promise<T> {
  const code = recipes.get(name)
  if (code === undefined) throw new Error(`docs/authorization.md has no recipe ${name}`)
  const source = new URL('../../src/index.ts', import.meta.url).href
  const folder = t.testdir({ [`${name}.ts`]: code.replaceAll("from 'twinrail'", `from '${source}'`) })
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
  t.same([...recipes.keys()], ['sign-tokens', 'cookies', 'producer', 'anonymous', 'support'])
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
