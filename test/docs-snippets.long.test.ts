/** The code in all documents compiles, unless it is marked as a fragment; complete programs do what the page says. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'
import { applied, documents, markOf, read, type Snippet, snippetsOf } from './fixtures/documents.ts'
import { serve } from './fixtures/wire-server.ts'

const root = fileURLToPath(new URL('../', import.meta.url))

/** The entries of both packages, by the names that readers import. */
const entries = {
  twinrail: 'src/index.ts',
  'twinrail/agents/deepsearch': 'src/agents/deepsearch/deepsearch.ts',
  'twinrail/agents/ai-sdk': 'src/agents/ai-sdk.ts',
  'twinrail/agents/http': 'src/upstream/http-agent.ts',
  'twinrail/agents/playback': 'src/agents/playback.ts',
  'twinrail/ai-sdk': 'src/dialects/ai-sdk/pipe.ts',
  'twinrail/guide': 'src/guide/index.ts',
  'twinrail/log': 'src/log/index.ts',
  'twinrail/log/lmdb': 'src/log/lmdb.ts',
  'twinrail/log/redis': 'src/log/redis.ts',
  'twinrail-client': 'client/index.ts',
  'twinrail-client/producer': 'client/producer/index.ts',
  'twinrail-client/react': 'client/react/index.ts',
  'twinrail-client/shared': 'client/shared/index.ts',
  'twinrail-client/view': 'client/view/index.ts',
  'twinrail-client/worker': 'client/worker/index.ts',
}

/** The packages that are not installed here, as far as the snippets use them. */
const stubs = `
declare module 'next' {
  import type { IncomingMessage, ServerResponse } from 'node:http'
  import type { Duplex } from 'node:stream'
  export default function next(options: { dev: boolean }): {
    prepare(): Promise<void>
    getRequestHandler(): (request: IncomingMessage, response: ServerResponse) => Promise<void>
    getUpgradeHandler(): (request: IncomingMessage, socket: Duplex, head: Buffer) => Promise<void>
  }
}
declare module 'vue' {
  export function onScopeDispose(stop: () => void): void
  export function shallowRef<T>(value: T): { value: T }
}
declare module 'svelte/store' {
  export function readable<T>(value: T, start: (set: (value: T) => void) => () => void): { subscribe: unknown }
}
declare module 'solid-js' {
  export function createSignal<T>(value: T): [() => T, (value: T | ((before: T) => T)) => T]
  export function onCleanup(stop: () => void): void
}
`

/** Code of a snippet that a reader can compile, with the ending of its file. */
function compiled(snippet: Snippet): { code: string; ending: string } | undefined {
  const { language, marks, code } = snippet
  if (marks.includes('fragment')) return undefined
  if (language === 'ts' || language === 'tsx') return { code, ending: language }
  const ending = language === 'diff' ? marks.find(mark => mark === 'ts' || mark === 'tsx') : undefined
  return ending && { code: applied(code), ending }
}

const snippets = documents.flatMap(document => snippetsOf(document))

t.test('every snippet in TypeScript compiles, alone or with the files of its page', async t => {
  // In this folder, so that packages are found.
  const folder = mkdtempSync(join(root, 'test/snippets-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const files = new Map<string, Snippet>()
  for (const snippet of snippets) {
    const found = compiled(snippet)
    if (!found) continue
    const page = snippet.document.replaceAll(/[/.]/g, '-')
    // Two snippets that belong together: what a server exports, and a client with its types.
    const types = markOf(snippet, 'types')
    const name = markOf(snippet, 'file') ?? `${types ?? `line-${snippet.line}`}.${found.ending}`
    const file = join(folder, page, name)
    if (files.has(file)) t.fail(`${snippet.document} has ${name} twice`)
    files.set(file, snippet)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, found.code)
  }
  t.ok(files.size > 50, `${files.size} snippets`)
  const stub = join(folder, 'stubs.d.ts')
  writeFileSync(stub, stubs)
  const libraries = ['es2023', 'es2024.string', 'dom', 'dom.iterable', 'dom.asynciterable']
  const program = ts.createProgram([...files.keys(), stub], {
    target: ts.ScriptTarget.ES2023,
    lib: libraries.map(name => `lib.${name}.d.ts`),
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    moduleDetection: ts.ModuleDetectionKind.Force,
    jsx: ts.JsxEmit.ReactJSX,
    types: ['node'],
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    allowImportingTsExtensions: true,
    paths: Object.fromEntries(Object.entries(entries).map(([name, file]) => [name, [join(root, file)]])),
  })
  const wrong = [...files.keys()].flatMap(file => {
    const source = program.getSourceFile(file)
    const { document, line } = files.get(file) as Snippet
    const found = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
    return found.map(({ messageText, start }) => {
      const at = source && start !== undefined ? source.getLineAndCharacterOfPosition(start).line : 0
      return `${document}:${line + 1 + at}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
    })
  })
  t.same(wrong, [])
})

t.test('the tests of docs/guides/testing-your-agent.md pass', async t => {
  const folder = mkdtempSync(join(root, 'test/snippets-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const page = snippets.filter(({ document }) => document === 'docs/guides/testing-your-agent.md')
  const names = page.flatMap(snippet => markOf(snippet, 'file') ?? [])
  t.same(names, ['agent.test.ts', 'model.test.ts'])
  for (const name of names) {
    const { code } = page.find(snippet => markOf(snippet, 'file') === name) as Snippet
    writeFileSync(join(folder, name), withSources(code, folder))
    const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...env } = process.env
    const output = execFileSync(
      process.execPath,
      ['--import', join(root, 'test/loader/register.mjs'), '--test-reporter=tap', join(folder, name)],
      { env, encoding: 'utf8' },
    )
    const count = code.match(/^test\(/gm)?.length
    t.match(output, new RegExp(`^# pass ${count}$`, 'm'), `${name}: all ${count} pass`)
    t.match(output, /^# fail 0$/m)
  }
})

t.test('every address of the server in a document is a route', async t => {
  const { url } = await serve(t, { inspector: true })
  const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as { paths: Record<string, object> }
  const routes = Object.keys(paths).map(path => new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`))
  let addresses = 0
  for (const document of documents) {
    const text = read(document)
    // What stands before it names a base address of somebody else: OpenAI's, or that of a model.
    for (const { 0: address } of text.matchAll(/(?<!openai|api|:11434|[\w-]\.com)\/v1\/[\w:/.<>-]*[\w>]/g)) {
      addresses++
      if (!routes.some(route => route.test(address))) t.fail(`${document}: ${address}`)
    }
  }
  t.ok(addresses > 60, `${addresses} addresses`)
})

/** The code with the packages' sources in place of the built packages. */
function withSources(code: string, folder: string): string {
  return code.replaceAll(/from '(twinrail[^']*)'/g, (_, name: string) => {
    const file = entries[name as keyof typeof entries]
    if (!file) throw new Error(`no entry ${name}`)
    return `from '${relative(folder, join(root, file))}'`
  })
}
