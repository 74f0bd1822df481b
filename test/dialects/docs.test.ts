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
