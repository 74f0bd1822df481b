/** A client that knows its server by its type: what compiles, what does not, and that the server holds what the types say. */
import t from 'tap'
import { z } from 'zod'
import { type Client, ClientError, createClient, type SessionEvent } from '../../client/index.ts'
import type { useAIStream, useSession } from '../../client/react/index.ts'
import { sessionStore } from '../../client/view/index.ts'
import { createServer, defineAgent, type EventBody } from '../../src/index.ts'

const echo = defineAgent({
  name: 'echo',
  description: 'Repeats a text.',
  input: z.object({ query: z.string(), times: z.int().default(1) }),
  async *run({ query, times }) {
    const count: number = times
    yield { type: 'x.progress', data: { done: 1 } }
    return { result: { said: query.repeat(count) } }
  },
})

const silent = defineAgent({
  name: 'silent',
  description: 'Says nothing.',
  input: z.null(),
  async *run(): AsyncGenerator<EventBody, void, void> {},
})

/** An agent whose name is not known before the program runs. */
const named = (name: string) => defineAgent({ ...silent, name })

const agents = [echo, silent] as const
const serve = () =>
  createServer({
    agents,
    events: { 'x.progress': z.object({ done: z.number(), of: z.int().default(100) }) },
  })
type Server = Awaited<ReturnType<typeof serve>>

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_: Equal<A, B>) => {}

t.test('a server and its client', async t => {
  const server = await serve()
  t.teardown(() => server.close())
  const client = createClient<typeof server>({ url: await server.listen({ port: 0 }) })
  t.teardown(() => client.close())
  const session = client.session('typed')

  const run = session.run('echo', { query: 'ab', times: 2 })
  for await (const event of run.events) {
    if (event.type === 'x.progress') {
      same<typeof event.data, { done: number; of: number }>(true)
      t.same(event.data, { done: 1, of: 100 }, 'the log has what the schema returned')
    }
    if (event.type === 'run.completed') same<typeof event.data.result, { said: string }>(true)
    // @ts-expect-error no event of the protocol, and none of the server's
    if (event.type === 'x.other') t.fail()
  }
  const end = await run.done
  if (end.type !== 'run.completed') return t.fail(end.type)
  same<typeof end.data.result, { said: string }>(true)
  t.same(end.data.result, { said: 'abab' })
  same<typeof end.data.finishReason, string>(true)

  await session.publish('x.progress', { done: 2 })
  // @ts-expect-error the type is not one of the server's
  await session.publish('x.other', { done: 2 })
  // @ts-expect-error the data is not of this type's
  await t.rejects(session.publish('x.progress', { done: 'all' }), { code: 'bad-request' })
  const { events } = await session.page({ last: 100 })
  t.same(
    events.filter(({ type }) => type.startsWith('x.')).map(({ data }) => data),
    [{ done: 1, of: 100 }, { done: 2, of: 100 }, { done: 2 }],
  )

  // @ts-expect-error no such agent
  await t.rejects(session.run('ecko', { query: '' }).started, { code: 'agent-not-found' })
  // @ts-expect-error a misspelt field
  await t.rejects(session.run('echo', { qeury: '' }).started, { code: 'bad-request' })
  // @ts-expect-error a field of another type
  await t.rejects(session.run('echo', { query: 1 }).started, { code: 'bad-request' })
})

t.test('whoever sends an event of the application’s own, its schema decides', async t => {
  const wrong = defineAgent({
    name: 'wrong',
    description: 'Yields what the schema refuses.',
    input: z.unknown(),
    async *run() {
      yield { type: 'x.progress', data: { done: 'no number' } }
    },
  })
  const server = await createServer({
    agents: [wrong],
    events: { 'x.progress': z.object({ done: z.number() }) },
    logger: false,
  })
  t.teardown(() => server.close())
  const url = await server.listen({ port: 0 })
  const client = createClient({ url })
  t.teardown(() => client.close())
  const session = client.session('schemas')
  const end = await session.run('wrong', null).done
  t.equal(end.type, 'run.failed', 'an agent fails with it')
  const bad = { type: 'x.progress', data: { done: 'no number' } }
  const post = async (body: string, type: string) => {
    const response = await fetch(`${url}/v1/sessions/schemas/events`, {
      method: 'POST',
      headers: { 'content-type': type },
      body,
    })
    return { status: response.status, ...((await response.json()) as { error: { message: string } }).error }
  }
  t.match(await post(JSON.stringify(bad), 'application/json'), {
    status: 400,
    message: /x\.progress: done: .*number/,
  })
  t.match(await post(`${JSON.stringify(bad)}\n`, 'application/x-ndjson'), { status: 400, message: /line 1/ })
  const body = bad as EventBody
  await t.rejects(server.publish('schemas', body), { code: 'bad-request' })
  await t.rejects(server.publish('schemas', body, { ephemeral: true }), { code: 'bad-request' })
  await t.rejects(session.publish('x.progress', bad.data, { ephemeral: true }), ClientError)
  await server.publish('schemas', { type: 'x.free', data: 'types without a schema take any JSON' })
})

/** Never runs: the compiler is the test. */
export function typesOnly(client: Client, url: string): void {
  const ofServer = createClient<Server>({ url })
  const ofAgents = createClient<typeof agents>({ url })
  const untyped = createClient({ url })
  same<typeof untyped, Client>(true)
  same<typeof untyped, typeof client>(true)

  const run = ofAgents.session().run('echo', { query: '' })
  same<
    Awaited<typeof run.done> extends infer E ? Extract<E, { type: 'run.completed' }> : never,
    Extract<Awaited<typeof run.done>, { type: 'run.completed' }>
  >(true)
  void ofAgents.session().run('silent', null)
  void ofAgents.session().publish('x.anything', 1)
  // @ts-expect-error no such agent
  void ofAgents.session().run('nobody', null)
  // @ts-expect-error the agent takes null
  void ofAgents.session().run('silent', {})

  // Nothing is known of agents whose names are not.
  const ofNames = createClient<readonly [ReturnType<typeof named>]>({ url })
  void ofNames.session().run('anything', null)

  // Without a type all is as it was.
  const free = untyped.session()
  const events: AsyncIterable<SessionEvent> = free.run('anything', { any: 'thing' }).events
  void events
  void free.publish('x.anything', 1)
  const own = untyped.session('s', { 'x.own': z.string() })
  void own.publish('x.own', 'text')
  // @ts-expect-error the session's schema is of texts
  void own.publish('x.own', 1)

  // A session's own schemas win over the server's.
  const both = ofServer.session('s', { 'x.own': z.string(), 'x.progress': z.boolean() })
  void both.publish('x.own', 'text')
  void both.publish('x.progress', true)
  // @ts-expect-error the session's schema is of booleans
  void both.publish('x.progress', { done: 1 })

  const store = sessionStore(ofServer, 's', {
    onEvent: event => event.type === 'x.progress' && event.data.of,
  })
  void store.start('echo', { query: '' })
  // @ts-expect-error no such agent
  void store.start('nobody', null)
  // @ts-expect-error a missing field
  void store.start('echo', {})
}

/** Never runs either. */
export function Hooks(use: { session: typeof useSession; aiStream: typeof useAIStream }): void {
  const ofServer = createClient<Server>({ url: '/' })
  const view = use.session(ofServer, 's', {
    onEvent(event) {
      if (event.type === 'x.progress') same<typeof event.data, { done: number; of: number }>(true)
    },
  })
  void view.start('echo', { query: '' })
  void view.session.publish('x.progress', { done: 1 })
  // @ts-expect-error a field of another type
  void view.start('echo', { query: 1 })
  // @ts-expect-error the type is not one of the server's
  void view.session.publish('x.other', 1)
  void use.session(createClient({ url: '/' }), 's').start('anything', { any: 'thing' })

  use.aiStream<Server>({ url: '/', agent: 'echo' })
  // @ts-expect-error no such agent
  use.aiStream<Server>({ url: '/', agent: 'nobody' })
  use.aiStream({ url: '/', agent: 'anything' })
}
