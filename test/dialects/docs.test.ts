/** docs/clients/: the pages name the packages that the tests use, and the routes that there are. */
import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { dialectNames } from '../../src/dialects/names.ts'
import { dialectOperations } from '../../src/dialects/openapi.ts'
import { dialectAgents } from '../fixtures/dialects.ts'
import { serve } from '../fixtures/wire-server.ts'

const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')

t.test('each dialect has its page, and it is in the index', async t => {
  const pages = readdirSync(new URL('../../docs/clients/', import.meta.url)).sort()
  t.same(pages, [...dialectNames.map(name => `${name}.md`), 'README.md'].sort())
  for (const name of dialectNames) t.match(read('docs/clients/README.md'), `](${name}.md)`)
})

t.test('the versions are those that are tested', async t => {
  const { devDependencies } = JSON.parse(read('package.json')) as { devDependencies: Record<string, string> }
  const pages = dialectNames.map(name => read(`docs/clients/${name}.md`)).join('\n')
  for (const name of [
    '@ag-ui/client',
    '@ag-ui/core',
    '@ai-sdk/react',
    'ai-sdk-react-v6',
    '@microsoft/fetch-event-source',
    '@tanstack/ai-client',
    'openai',
  ]) {
    const [version] = /[\d.]+$/.exec(devDependencies[name] ?? '') ?? []
    t.match(devDependencies[name], /^(npm:@ai-sdk\/react@)?\d/, `${name} is pinned`)
    t.match(pages, version as string, `${name} ${version}`)
  }
})

t.test('the OpenAPI document has what is checked of bodies and queries', async t => {
  const { url } = await serve(t, { agents: dialectAgents })
  type Operation = {
    parameters?: { name: string; in: string }[]
    requestBody?: { content: { 'application/json': { schema: { required?: string[] } } } }
    responses: { 200: { content: Record<string, { schema: { required?: string[] } }> } }
  }
  const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, Operation>>
  }
  const required: Record<string, string[] | undefined> = {
    aiSdkChat: ['messages'],
    agUiRun: ['threadId', 'runId'],
    openaiCreateResponse: ['model'],
    openaiCreateCompletion: ['model', 'messages'],
    genieQuery: ['sessionId', 'requestId', 'query'],
    genieAutoAgent: ['requestId', 'query'],
    genieDeepsearch: ['request_id', 'query'],
  }
  const queries: Record<string, string[]> = {
    aiSdkChat: ['dialect'],
    aiSdkResume: ['dialect', 'startIndex', 'after'],
    agUiJoin: ['offset', 'runId', 'threadId'],
    openaiResponse: ['stream', 'starting_after'],
  }
  for (const { operationId, path, method, answer } of Object.values(dialectOperations).flat()) {
    const operation = paths[path]?.[method] as Operation
    const body = operation.requestBody?.content['application/json'].schema
    t.same(body?.required, required[operationId], `${operationId}: body`)
    const names = operation.parameters?.filter(one => one.in === 'query').map(({ name }) => name)
    t.same(names ?? [], queries[operationId] ?? [], `${operationId}: query`)
    const { content } = operation.responses[200]
    t.same(Object.keys(content), answer.split(', '))
    // The one route whose answer is no JSON although it says so is that of the WebSocket.
    const isJson = answer.startsWith('application/json') && operationId !== 'aiSdkConnect'
    t.equal((content['application/json']?.schema.required ?? []).length > 0, isJson, `${operationId}: answer`)
  }
})

t.test('every route is in the OpenAPI document and answers, and in no other server', async t => {
  const { url, server } = await serve(t, { agents: dialectAgents })
  const bare = await serve(t, { agents: dialectAgents, dialects: [] })
  const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as { paths: Record<string, object> }
  const without = (await (await fetch(`${bare.url}/openapi.json`)).json()) as {
    paths: Record<string, object>
  }
  for (const { path, method } of Object.values(dialectOperations).flat()) {
    t.ok(method in (paths[path] ?? {}), `${method} ${path}`)
    t.notOk(without.paths[path])
    const route = path.replace(/\{(\w+)\}/g, ':$1')
    t.ok(server.app.hasRoute({ method: method.toUpperCase() as 'GET', url: route }), route)
    t.notOk(bare.server.app.hasRoute({ method: method.toUpperCase() as 'GET', url: route }))
  }
})
