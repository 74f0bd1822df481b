/** A client that `openapi-typescript` generates from /openapi.json has usable types, and works. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { transformSync } from 'esbuild'
import openapiTypescript, { astToString, type OpenAPI3 } from 'openapi-typescript'
import t from 'tap'
import ts from 'typescript'
import { serve } from '../fixtures/wire-server.ts'

/** Uses of the generated types as an application has them. A wrong use must not compile. */
const uses = `
import createClient from 'openapi-fetch'
import type { components, paths } from './api.ts'

type Schemas = components['schemas']

const isKnown = (event: Schemas['Event']): event is Schemas['KnownEvent'] => !event.type.startsWith('x.')

/** The text of a session, as a client of the API puts it together. */
function textOf(events: Schemas['Event'][]): string {
  let text = ''
  for (const event of events) {
    if (!isKnown(event)) {
      const own: unknown = event.data
      // @ts-expect-error an application's own data may be anything
      own.length
      continue
    }
    switch (event.type) {
      case 'text.delta':
        text += event.data.delta
        // @ts-expect-error there is no such field
        event.data.dleta
        break
      case 'plan.updated':
        text += event.data.steps.map(step => step.title + ':' + step.status).join()
        // @ts-expect-error there is no such status
        if (event.data.steps[0]?.status === 'finished') text += '!'
        break
      case 'run.failed':
        const retry: boolean = event.data.retryable
        text += retry
        break
      // @ts-expect-error there is no such type
      case 'text.dleta':
        break
    }
  }
  return text
}

/** What a reader of a stream does with a message. */
export function positionOf(message: Schemas['ServerMessage']): string | undefined {
  if ('ephemeral' in message) {
    // @ts-expect-error an ephemeral event has no offset
    return message.offset
  }
  if ('offset' in message) return message.offset
  const control = message as Schemas['Control']
  if (control.type === 'gap') return control.to
  // @ts-expect-error a ping has no session
  if (control.type === 'ping') return control.sessionId
  return undefined
}

export async function use(baseUrl: string) {
  const client = createClient<paths>({ baseUrl })
  const path = { sessionId: 'typed' }
  const created = await client.POST('/v1/sessions', { body: { sessionId: 'typed', metadata: { a: 1 } } })
  const events: Schemas['EventBody'][] = [
    { type: 'text.delta', data: { partId: 'p', delta: 'Hello' } },
    { type: 'plan.updated', data: { steps: [{ title: 'a', status: 'done' }] } },
    { type: 'x.own', data: { length: 1 } },
  ]
  // @ts-expect-error a delta has the id of its part
  const incomplete: Schemas['EventBody'] = { type: 'text.delta', data: { delta: 'Hello' } } satisfies Schemas['KnownEventBody']
  const ingested = await client.POST('/v1/sessions/{sessionId}/events', { params: { path }, body: events })
  const ack = await client.POST('/v1/sessions/{sessionId}/commands', {
    params: { path },
    body: { id: '1', type: 'publish', ephemeral: true, event: { type: 'x.typing', data: null } },
  })
  const nack = await client.POST('/v1/sessions/{sessionId}/commands', {
    params: { path },
    body: { id: '2', type: 'run.start', agent: 'none', input: { any: 'thing' } },
  })
  const page = await client.GET('/v1/sessions/{sessionId}/events', {
    params: { path, query: { replay: 'full', limit: 10 } },
    headers: { accept: 'application/json' },
  })
  // @ts-expect-error there is no such replay
  const replay: NonNullable<paths['/v1/sessions/{sessionId}/events']['get']['parameters']['query']>['replay'] = 'all'
  // @ts-expect-error there is no such path
  const missing = client.GET('/v1/nothing')
  await missing.catch(() => {})
  const missed = await client.GET('/v1/sessions/{sessionId}', { params: { path: { sessionId: 'none' } } })
  const session = await client.GET('/v1/sessions/{sessionId}', { params: { path } })
  return {
    created: created.data?.head,
    count: ingested.data?.count,
    ack: ack.data,
    code: nack.error?.code,
    text: textOf((page.data as Schemas['Page']).events),
    next: (page.data as Schemas['Page']).next,
    missed: missed.error?.error.code,
    metadata: session.data?.metadata['a'],
    unused: [incomplete, replay].length,
  }
}
`

/** What the compiler says of the file, with the settings of a strict application. */
function complaints(file: string): string[] {
  const program = ts.createProgram([file], {
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts', 'lib.dom.d.ts'],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    strict: true,
    noUncheckedIndexedAccess: true,
    allowImportingTsExtensions: true,
    skipLibCheck: true,
    noEmit: true,
    types: [],
  })
  return ts.getPreEmitDiagnostics(program).map(({ messageText, start, file: place }) => {
    const line = place && start !== undefined ? place.getLineAndCharacterOfPosition(start).line + 1 : 0
    return `${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
  })
}

t.test('it compiles and works', async t => {
  const { url } = await serve(t)
  const document = (await (await fetch(`${url}/openapi.json`)).json()) as OpenAPI3
  const folder = t.testdir()
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  writeFileSync(join(folder, 'api.ts'), astToString(await openapiTypescript(document)))
  writeFileSync(join(folder, 'uses.ts'), uses)
  t.same(complaints(join(folder, 'uses.ts')), [])

  const { code } = transformSync(uses, { loader: 'ts', format: 'esm' })
  writeFileSync(join(folder, 'uses.js'), code)
  const { use } = (await import(pathToFileURL(join(folder, 'uses.js')).href)) as {
    use(url: string): Promise<Record<string, unknown>>
  }
  t.match(await use(url), {
    created: /^\d+-0$/,
    count: 3,
    ack: { type: 'ack', id: '1' },
    code: 'agent-not-found',
    text: 'Helloa:done',
    next: /^\d+-3$/,
    missed: 'session-not-found',
    metadata: 1,
  })
})
