/** Holds the documentation to the source. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { serveSettings } from '../src/cli/config.ts'
import { guideFlags } from '../src/cli/guide-questions.ts'
import { GuideQuestion, rules, scenarioNames } from '../src/guide/index.ts'
import { STRETCHES } from '../src/log/conditions.ts'
import {
  ConnectionCommand,
  controlSchemas,
  DESCRIPTION_CHARS,
  type ErrorCode,
  EventsQuery,
  errorMeanings,
  errorTable,
  eventData,
  FOLD_BYTES,
  FRAME_BYTES,
  limits,
  NESTING,
  PAGE_EVENTS,
  SessionCommand,
  SubscriptionOptions,
  WAIT_MS,
  WINDOW_BYTES,
  WORK_EVENTS,
  WORKER_AGENTS,
  WORKER_SLOTS,
} from '../src/protocol/index.ts'

const read = (name: string) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8')
const protocol = read('PROTOCOL.md')

/** The rows of a table under a heading, as cells; of the first one, or of one of the next. */
function tableUnder(heading: string, nth = 0): string[][] {
  const section = protocol.split(/^#+ /m).find(part => part.startsWith(`${heading}\n`))
  if (!section) throw new Error(`PROTOCOL.md has no heading ${heading}`)
  const lines = section.split('\n')
  const start = lines.flatMap((line, i) =>
    line.startsWith('|') && !lines[i - 1]?.startsWith('|') ? [i] : [],
  )[nth] as number
  const length = lines.slice(start).findIndex(line => !line.startsWith('|'))
  return lines
    .slice(start, length < 0 ? undefined : start + length)
    .slice(2)
    .map(line =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map(cell => cell.trim()),
    )
}

/** What stands in backticks in a cell. */
const codes = (cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map(match => match[1] as string)

t.test('the error table is the source’s', async t => {
  const wanted = Object.entries(errorTable).map(([code, { status, close, retryable }]) => [
    `\`${code}\``,
    String(status),
    String(close),
    retryable ? 'yes' : 'no',
    errorMeanings[code as ErrorCode],
  ])
  t.strictSame(tableUnder('Errors'), wanted)
})

t.test('every close code that the source uses is explained, with the same word on retrying', async t => {
  const rows = tableUnder('Close codes')
  for (const { close, retryable } of Object.values(errorTable)) {
    const row = rows.find(([code = '']) => code.split(', ').includes(String(close)))
    t.ok(row, `${close} is explained`)
    t.equal(row?.[1], retryable ? 'yes' : 'no', `${close}: retry`)
  }
})

t.test('every close code that is explained is the source’s, or made by browsers and by ws', async t => {
  const used: number[] = Object.values(errorTable).map(({ close }) => close)
  const others = [1000, 1001, 1002, 1006, 1007]
  for (const [code = ''] of tableUnder('Close codes')) {
    for (const one of code.split(', ')) t.ok([...used, ...others].includes(Number(one)), one)
  }
})

/** Whether a row names the field. */
const names = (row: readonly string[], field: string) =>
  new RegExp(`\\b${field}\\b`).test(row.slice(1).join(' '))

t.test('every field of an event’s data stands in its row', async t => {
  const rows = tableUnder('Events')
  for (const [type, { shape }] of Object.entries(eventData)) {
    const row = rows.find(([types]) => codes(types).includes(type))
    if (!row || row[1] === 'as text') continue
    for (const field of Object.keys(shape)) t.ok(names(row, field), `${type}: ${field}`)
  }
})

t.test('every field of a command stands in its row', async t => {
  const rows = [...tableUnder('Commands'), ...tableUnder('Workers')]
  for (const { shape } of [...SessionCommand.options, ...ConnectionCommand.options]) {
    const type = shape.type.value
    const row = rows.find(([types]) => codes(types).includes(type))
    if (!row || type === 'subscribe') continue
    for (const field of Object.keys(shape)) {
      if (['type', 'id', 'key', 'sessionId', 'traceparent'].includes(field)) continue
      t.ok(names(row, field), `${type}: ${field}`)
    }
  }
})

t.test('every field of a control message stands in its row', async t => {
  const rows = [...tableUnder('Control messages'), ...tableUnder('Workers', 1)]
  for (const [type, { shape }] of Object.entries(controlSchemas)) {
    const row = rows.find(([types]) => codes(types).includes(type))
    if (!row || type === 'ack') continue
    for (const field of Object.keys(shape)) if (field !== 'type') t.ok(names(row, field), `${type}: ${field}`)
  }
})

t.test('every name of a page’s query has its row, with its limits', async t => {
  const pageOnly = Object.keys(EventsQuery.out.shape).filter(name => !(name in SubscriptionOptions.shape))
  const rows = tableUnder('Pages')
  t.strictSame(rows.flatMap(([name]) => codes(name)).sort(), pageOnly.sort())
  const cell = (name: string) => rows.find(([names]) => codes(names).includes(name))?.[1] ?? ''
  t.match(cell('limit'), `1–${PAGE_EVENTS} events (default ${PAGE_EVENTS})`)
  t.match(cell('wait'), `≤ ${WAIT_MS}`)
})

t.test('limits in the text are the source’s', async t => {
  const { eventBytes, messageBytes } = limits
  t.equal(eventBytes, 1024 * 1024)
  const said = [
    `nested at most ${NESTING} deep`,
    `(at most ${messageBytes / 1024 / 1024} MiB)`,
    `at most ${FRAME_BYTES / 1024} KiB, unless one event alone is larger`,
    `joined into one event of at most ${FOLD_BYTES / 1024} KiB`,
    `WebSocket only, 1 to ${WINDOW_BYTES / 1024 / 1024} MiB`,
    `more than ${STRETCHES} stretches`,
    `at most ${WORKER_AGENTS} of \`{name,`,
    `\`description\` at most ${DESCRIPTION_CHARS}`,
    `at a time, 0 to ${WORKER_SLOTS}`,
    `\`events\`: 1 to ${WORK_EVENTS} of`,
    `±${Number.MAX_SAFE_INTEGER}`,
  ]
  for (const text of said) t.ok(protocol.replace(/\s+/g, ' ').includes(text), text)
})

t.test('every event type has its row, and no row is of none', async t => {
  const rows = tableUnder('Events').flatMap(([types]) => codes(types))
  t.strictSame(new Set(rows), new Set([...Object.keys(eventData), 'x.<name>']))
})

t.test('every control message has its row', async t => {
  const rows = [...tableUnder('Control messages'), ...tableUnder('Workers', 1)].flatMap(([type]) =>
    codes(type),
  )
  t.strictSame(rows.sort(), Object.keys(controlSchemas).sort())
})

t.test('every command has its row', async t => {
  const rows = [...tableUnder('Commands'), ...tableUnder('Workers')].flatMap(([type]) => codes(type))
  const all = [...SessionCommand.options, ...ConnectionCommand.options]
  t.strictSame(rows.sort(), all.map(option => option.shape.type.value).sort())
})

t.test('every way to subscribe has its row', async t => {
  const rows = tableUnder('Subscribing').flatMap(([name]) => codes(name))
  t.strictSame(new Set(rows), new Set([...Object.keys(SubscriptionOptions.shape), 'windowBytes']))
})

t.test('everything that the guide can be asked has its row', async t => {
  const rows = tableUnder('Guide')
  t.strictSame(new Set(rows.flatMap(([names]) => codes(names))), new Set(Object.keys(GuideQuestion.shape)))
  t.same(
    scenarioNames.filter(name => !codes(rows[0]?.[1]).includes(name)),
    [],
  )
})

t.test('every rule of the guide has its row, in the order in which they apply', async t => {
  const rows = read('docs/choosing-a-transport.md').matchAll(/^\| `([a-z-]+)` \|/gm)
  t.strictSame(
    [...rows].map(([, id]) => id),
    rules.map(({ id }) => id),
  )
})

t.test('README names only scripts, flags and files that are there', async t => {
  const readme = read('README.md')
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  const ownCommands = ['ci', 'init', 'pkg', 'install', 'pack', 'create']
  for (const [, script = ''] of readme.matchAll(/npm (?:run )?([a-z]+)\b/g)) {
    if (!ownCommands.includes(script)) t.ok(scripts[script], `npm script ${script}`)
  }
  const flags = Object.values(serveSettings).map(({ flag }) => flag.split(' ')[0])
  const known = new Set([
    ...flags,
    ...guideFlags.map(({ flag }) => flag.split(' ')[0]),
    ...[...read('mutants.mjs').matchAll(/(\w+): \{ type: 'string' \}/g)].map(([, name]) => `--${name}`),
    '--transport',
    '--json',
    '--help',
  ])
  // Blocks of code have flags of npm.
  const prose = readme.replaceAll(/^```.*?^```/gms, '')
  for (const [, flag = ''] of prose.matchAll(/`[^`]*?(--[a-z][a-z-]+)/g)) t.ok(known.has(flag), flag)
  for (const [, file = ''] of readme.matchAll(/\]\(([^):]+)\)/g)) t.ok(read(file).length > 0, file)
})

t.test('links between documents lead to files that are there', async t => {
  const root = new URL('../', import.meta.url)
  const documents = ['README.md', 'PROTOCOL.md', 'CHANGELOG.md', 'bench/README.md']
  for (const name of readdirSync(new URL('docs/', root)))
    if (name.endsWith('.md')) documents.push(`docs/${name}`)
  for (const name of readdirSync(new URL('docs/clients/', root))) documents.push(`docs/clients/${name}`)
  let links = 0
  for (const name of documents) {
    for (const [, target = ''] of read(name).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^(https?:|#)/.test(target)) continue
      links++
      const file = new URL(target.split('#')[0] as string, new URL(name, root))
      if (!existsSync(file)) t.fail(`${name} links to ${target}`)
    }
  }
  t.ok(links > 10, `${links} links`)
})
