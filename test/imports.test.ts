/** Checks the allowed imports between layers. docs/architecture.md has the same rules as a table. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

// @ts-expect-error The types of the DOM are visible to the client and its tests only: see client/tsconfig.json.
export type NoDocument = typeof document

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

interface Import {
  from: string
  to: string
  /** What is imported by name. */
  names: string[]
  typeOnly: boolean
  /** An `import()`: loaded when it is reached, not with the file. */
  dynamic: boolean
}

function filesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map(entry => relative(root, join(entry.parentPath, entry.name)).split('\\').join('/'))
    .filter(file => !/\/(dist|node_modules)\//.test(file))
    .sort()
}

/** Every import of a file, also `export … from` and `import()`; types that are imported singly count as types. */
function importsOf(from: string): Import[] {
  const source = ts.createSourceFile(
    from,
    readFileSync(join(root, from), 'utf8'),
    ts.ScriptTarget.Latest,
    true,
  )
  const found: Import[] = []
  const add = (specifier: ts.Expression, typeOnly: boolean, names: string[] = [], dynamic = false) => {
    if (!ts.isStringLiteralLike(specifier)) return
    const { text } = specifier
    const to = text.startsWith('.') ? posix.join(posix.dirname(from), text) : text
    found.push({ from, to, names, typeOnly, dynamic })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      const clause = node.importClause
      const named = clause?.namedBindings
      const all =
        clause !== undefined &&
        !clause.name &&
        named !== undefined &&
        ts.isNamedImports(named) &&
        named.elements.every(element => element.isTypeOnly)
      const names =
        named && ts.isNamedImports(named)
          ? named.elements.map(element => (element.propertyName ?? element.name).getText(source))
          : []
      add(node.moduleSpecifier, clause?.isTypeOnly === true || all, names)
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier) {
      add(node.moduleSpecifier, node.isTypeOnly)
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add(node.argument.literal, true)
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      if (node.arguments[0]) add(node.arguments[0], false, [], true)
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

const files = ['src', 'client', 'bench'].flatMap(filesIn)
const imports = files.flatMap(importsOf)
const internal = imports.filter(({ to }) => /^(src|client|bench)\//.test(to))

const DRIVERS = /^src\/log\/(memory|lmdb|redis)(\.ts$|\/)/
/** What all drivers share: the interface, events, keys, and what they would else write twice. */
const DRIVER_NEEDS =
  /^src\/log\/(activity|log|event|keys|conditions|followers|marks|refusals|tally|sorted-ids|size-limit)\.ts$/
/** Files that put everything together. */
const COMPOSITION =
  /^src\/((server|engine|options|server-api|server-types|stderr-log|process-output|index)|mount\/.*|cli\/(main|serve|config|open-log|processes|transfer))\.ts$/
const PUBLIC = [
  'src/index.ts',
  'src/agents/deepsearch/deepsearch.ts',
  'src/agents/ai-sdk.ts',
  'src/agents/playback.ts',
  'src/dialects/ai-sdk/pipe.ts',
  'src/upstream/http-agent.ts',
  'src/log/index.ts',
  'src/log/lmdb.ts',
  'src/log/redis.ts',
  'src/log/contract/index.ts',
  'src/protocol/index.ts',
  'src/guide/index.ts',
  'client/index.ts',
  'client/react/index.ts',
  'client/shared/index.ts',
  'client/view/index.ts',
  'client/worker/index.ts',
  'client/producer/index.ts',
]

/** For each layer, lowest first: what it may import beside its own files. */
const layers: { name: string; files: RegExp; may: RegExp[] }[] = [
  { name: 'protocol', files: /^src\/protocol\//, may: [] },
  { name: 'guide', files: /^src\/guide\//, may: [/^src\/protocol\//] },
  { name: 'log', files: /^src\/log\//, may: [/^src\/protocol\//] },
  { name: 'bus', files: /^src\/bus\//, may: [/^src\/protocol\//, /^src\/log\//] },
  { name: 'presence', files: /^src\/presence\//, may: [/^src\/(protocol|log|bus)\//] },
  {
    name: 'sessions',
    files: /^src\/sessions\//,
    may: [/^src\/(protocol|log|bus|presence)\//, /^src\/agents\/(agent|chat-fields|inbox|outcome)\.ts$/],
  },
  { name: 'agents', files: /^src\/agents\//, may: [/^src\/(protocol|guide|log|bus)\//] },
  { name: 'auth', files: /^src\/auth\//, may: [/^src\/(protocol|log|bus|sessions|http)\//] },
  { name: 'http', files: /^src\/http\//, may: [/^src\/protocol\//] },
  {
    name: 'transports',
    files: /^src\/transports\//,
    may: [
      /^src\/(protocol|guide|log|bus|presence|sessions|agents|http)\//,
      /^src\/auth\/(actions|door)\.ts$/,
    ],
  },
  {
    name: 'dialects',
    files: /^src\/dialects\//,
    may: [
      /^src\/(protocol|log|bus|sessions|agents)\//,
      /^src\/transports\/(context|connections|heartbeat)\.ts$/,
      /^src\/auth\/(actions|door)\.ts$/,
    ],
  },
  {
    name: 'upstream',
    files: /^src\/upstream\//,
    may: [
      /^src\/(protocol|agents)\//,
      /^src\/dialects\/(ai-sdk\/chunks|(ai-sdk|ag-ui|openai|genie)\/decode)\.ts$/,
    ],
  },
  {
    name: 'metrics',
    files: /^src\/metrics\.ts$/,
    may: [/^src\/(bus|sessions|transports)\//, /^src\/auth\/limits\.ts$/],
  },
  { name: 'tracing', files: /^src\/tracing\.ts$/, may: [/^src\/(protocol|bus)\//] },
  {
    name: 'routes',
    files: /^src\/routes\//,
    may: [
      /^src\/(protocol|guide|log|bus|presence|sessions|agents|http|transports)\//,
      /^src\/(auth\/(actions|door|tickets)|metrics)\.ts$/,
    ],
  },
  { name: 'conformance', files: /^src\/conformance\//, may: [] },
  {
    name: 'cli',
    files: /^src\/cli\/(?!(main|serve|config|open-log|processes|transfer)\.ts$)/,
    may: [/^src\/(protocol|guide|conformance)\//, /^client\/(?!(playground|worker)\/)/],
  },
  { name: 'composition', files: COMPOSITION, may: [/^src\//] },
  { name: 'playground', files: /^client\/playground\//, may: [] },
  {
    name: 'worker',
    files: /^client\/worker\//,
    may: [/^src\/protocol\//, /^client\/(?!playground\/)/, /^src\/agents\/(agent|inbox|outcome)\.ts$/],
  },
  { name: 'client', files: /^client\/(?!(playground|worker)\/)/, may: [/^src\/protocol\//, /^src\/guide\//] },
  { name: 'bench', files: /^bench\//, may: [/^src\/server\.ts$/] },
]

const show = ({ from, to }: Import) => `${from} → ${to}`

t.test('the files are there and belong somewhere', async t => {
  t.ok(files.length > 50)
  t.ok(internal.length > 100)
  for (const file of files) {
    t.equal(layers.filter(layer => layer.files.test(file)).length, 1, file)
  }
  const known = new Set([...files, 'package.json'])
  t.same(
    internal.filter(({ to }) => !known.has(to) && !to.endsWith('.css')).map(show),
    [],
    'every import leads somewhere',
  )
})

t.test('each layer imports only lower layers', async t => {
  for (const { name, files, may } of layers) {
    const wrong = internal.filter(
      ({ from, to }) =>
        files.test(from) &&
        !files.test(to) &&
        !may.some(allowed => allowed.test(to)) &&
        !(['bench', 'playground'].includes(name) && PUBLIC.includes(to)),
    )
    t.same(wrong.map(show), [], name)
  }
})

t.test('docs/architecture.md has the same rule for every layer', async t => {
  const section = readFileSync(join(root, 'docs/architecture.md'), 'utf8')
    .split(/^## /m)
    .find(part => part.startsWith('Allowed imports\n'))
  const named = (cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name as string)
  const rows = [...(section ?? '').matchAll(/^\| `([^`]+)` \| (.*) \| (.*) \|$/gm)]
  t.same(
    rows.map(([, name]) => name),
    layers.map(({ name }) => name),
    'a row for each, in this order',
  )
  for (const [, row, where, may] of rows) {
    const layer = layers.find(({ name }) => name === row)
    if (!layer) continue
    const own = files.filter(file => layer.files.test(file))
    const places = named(where)
    t.same(
      own.filter(file => !places.some(place => file.startsWith(place))),
      [],
      `${row}: all its files`,
    )
    t.same(
      places.filter(place => !own.some(file => file.startsWith(place))),
      [],
      `${row}: no others`,
    )
    // In the cell: `agents` (only `src/agents/agent.ts`).
    const told = Object.fromEntries(
      [...(may ?? '').matchAll(/`([^`]+)`(?: \(only ([^)]*)\))?/g)].map(([, name = '', only]) => [
        name,
        only === undefined ? 'all' : named(only),
      ]),
    )
    const held: Record<string, string[] | 'all'> = {}
    for (const other of layers) {
      if (other === layer) continue
      const theirs = files.filter(file => other.files.test(file))
      const allowed = theirs.filter(file => layer.may.some(pattern => pattern.test(file)))
      if (allowed.length > 0) held[other.name] = allowed.length === theirs.length ? 'all' : allowed
    }
    if (row === 'composition') {
      const below = layers.filter(({ files: theirs }) =>
        files.some(f => f.startsWith('src/') && theirs.test(f)),
      )
      t.same(new Set([row, ...Object.keys(held)]), new Set(below.map(({ name }) => name)))
      t.equal(may, 'all of `src/`')
    } else t.same(told, held, row ?? '')
  }
})

t.test('drivers import only the log’s interface and shared code', async t => {
  const ownFolder = ({ from, to }: Import) => DRIVERS.exec(from)?.[1] === DRIVERS.exec(to)?.[1]
  const wrong = internal.filter(
    one =>
      DRIVERS.test(one.from) &&
      !ownFolder(one) &&
      !DRIVER_NEEDS.test(one.to) &&
      !one.to.startsWith('src/protocol/'),
  )
  t.same(wrong.map(show), [])
  t.ok(internal.some(({ from }) => DRIVERS.test(from)))
})

t.test('only the composition root and the bench know a driver', async t => {
  const wrong = internal.filter(
    ({ from, to }) =>
      DRIVERS.test(to) &&
      !DRIVERS.test(from) &&
      !COMPOSITION.test(from) &&
      !from.startsWith('bench/') &&
      !PUBLIC.includes(from),
  )
  t.same(wrong.map(show), [])
})

t.test('only the journal calls a log', async t => {
  const DOOR = 'src/bus/journal.ts'
  const outside = internal.filter(({ from }) => !from.startsWith('src/log/') && !from.startsWith('bench/'))
  const holders = outside.filter(
    ({ from, to, names }) =>
      to === 'src/log/log.ts' && names.includes('EventLog') && from !== DOOR && !COMPOSITION.test(from),
  )
  t.same(holders.map(show), [], 'nobody else has one')
  t.ok(outside.some(({ from, names }) => from === DOOR && names.includes('EventLog')))
  const calls = files
    .filter(file => COMPOSITION.test(file))
    .flatMap(file =>
      [...readFileSync(join(root, file), 'utf8').matchAll(/\b(?<!app\.)log\??\.(\w+)\(/g)].map(
        ([, method]) => `${file}: log.${method}()`,
      ),
    )
  t.same(calls, ['src/cli/transfer.ts: log.close()'], 'those who open one only hand it on')
})

t.test('schemas and patterns from outside are applied in their own thread only', async t => {
  const THREAD = /^src\/sessions\/schemas\/(thread|meta-schema|linear-regexp)\.ts$/
  const engines = imports.filter(
    ({ from, to, typeOnly }) =>
      from.startsWith('src/') && /^(@cfworker\/json-schema|re2js)$/.test(to) && !typeOnly,
  )
  t.ok(engines.length >= 2)
  t.same(engines.filter(({ from }) => !THREAD.test(from)).map(show), [])
  const loaded = internal.filter(
    ({ from, to, typeOnly }) => THREAD.test(to) && !THREAD.test(from) && !typeOnly,
  )
  t.same(loaded.map(show), [], 'nobody loads the thread’s files into the event loop')
  const compiled = files
    .filter(file => file.startsWith('src/'))
    .filter(file => /\bnew RegExp\((?!\s*[`'])/.test(readFileSync(join(root, file), 'utf8')))
  t.same(compiled, [], 'nobody makes a pattern of a value')
})

t.test('transports never import each other', async t => {
  const TRANSPORT = /^src\/transports\/(sse|websocket|long-poll)\.ts$/
  const wrong = internal.filter(({ from, to }) => TRANSPORT.test(from) && TRANSPORT.test(to))
  t.same(wrong.map(show), [])
})

t.test('dialects never import each other', async t => {
  const dialectOf = (file: string) => /^src\/dialects\/([^/]+)\//.exec(file)?.[1]
  const wrong = internal.filter(({ from, to }) => {
    const [one, other] = [dialectOf(from), dialectOf(to)]
    return one !== undefined && other !== undefined && one !== other
  })
  t.same(wrong.map(show), [])
})

t.test('only the command line imports its own files', async t => {
  const wrong = internal.filter(({ from, to }) => to.startsWith('src/cli/') && !from.startsWith('src/cli/'))
  t.same(wrong.map(show), [])
})

t.test('only the command line and the bench import deepsearch, through its entry', async t => {
  const FOLDER = 'src/agents/deepsearch/'
  const outside = internal.filter(({ from, to }) => to.startsWith(FOLDER) && !from.startsWith(FOLDER))
  t.same(outside.map(show).sort(), [
    `bench/package/deepsearch.ts → ${FOLDER}deepsearch.ts`,
    `src/cli/serve.ts → ${FOLDER}deepsearch.ts`,
  ])
})

t.test('code for browsers uses no API of Node', async t => {
  const isomorphic = /^(src\/protocol|src\/guide|client(?!\/playground))\//
  const packages = new Set(['zod', 'eventsource-parser', 'react'])
  const wrong = imports.filter(
    ({ from, to }) =>
      isomorphic.test(from) && !/^(src|client)\//.test(to) && !packages.has(to.split('/')[0] as string),
  )
  t.same(wrong.map(show), [])
})

t.test('there are no cycles, types included', async t => {
  const graph = new Map(files.map(file => [file, [] as string[]]))
  for (const { from, to } of internal) graph.get(from)?.push(to)
  const cycles: string[] = []
  const done = new Set<string>()
  const walk = (file: string, path: string[]): void => {
    const at = path.indexOf(file)
    if (at >= 0) {
      cycles.push([...path.slice(at), file].join(' → '))
      return
    }
    if (done.has(file)) return
    for (const next of graph.get(file) ?? []) walk(next, [...path, file])
    done.add(file)
  }
  for (const file of files) walk(file, [])
  t.same(cycles, [])
})

t.test('importing the root entry loads no package', async t => {
  const loaded = new Set<string>()
  const packages: string[] = []
  const known = new Set(files)
  const load = (file: string): void => {
    if (loaded.has(file)) return
    loaded.add(file)
    for (const { to, typeOnly, dynamic } of imports.filter(({ from }) => from === file)) {
      if (typeOnly || dynamic) continue
      if (known.has(to)) load(to)
      else packages.push(`${file} → ${to}`)
    }
  }
  load('src/index.ts')
  t.ok(loaded.size > 1)
  t.same(packages, [], 'createServer loads what a server needs, and an agent or a log loads its own')
})
