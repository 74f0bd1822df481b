/** Holds the documentation to the source. */
import { existsSync } from 'node:fs'
import t from 'tap'
import { serveSettings, variableOf } from '../src/cli/config.ts'
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
import { documents, fragmentsOf, read, snippetsOf, withoutCode } from './fixtures/documents.ts'

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

t.test('README and the pages of commands name only scripts and flags that are there', async t => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  const ownCommands = ['ci', 'init', 'install', 'pack']
  const known = new Set([
    ...Object.values(serveSettings).map(({ flag }) => flagOf(flag)),
    ...guideFlags.map(({ flag }) => flagOf(flag)),
    ...[...read('mutants.mjs').matchAll(/(\w+): \{ type: 'string' \}/g)].map(([, name]) => `--${name}`),
    '--transport',
    '--token',
    '--header',
    '--json',
    '--help',
  ])
  for (const page of ['README.md', 'docs/command-line.md', 'docs/development.md']) {
    const text = read(page)
    for (const [, script = ''] of text.matchAll(/npm (?:run )?([a-z]+)\b/g)) {
      if (!ownCommands.includes(script)) t.ok(scripts[script], `${page}: npm script ${script}`)
    }
    // Blocks of code have flags of npm.
    const flags = withoutCode(text).matchAll(/`[^`]*?(--[a-z][a-z-]+)/g)
    for (const [, flag = ''] of flags) t.ok(known.has(flag), `${page}: ${flag}`)
  }
})

t.test('links between documents lead to files and headings that are there', async t => {
  const root = new URL('../', import.meta.url)
  let links = 0
  for (const document of documents) {
    for (const [, target = ''] of withoutCode(read(document)).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^(https?:|mailto:)/.test(target)) continue
      links++
      const [path = '', fragment] = target.split('#') as [string, string?]
      const file = path === '' ? new URL(document, root) : new URL(path, new URL(document, root))
      const name = file.href.slice(root.href.length)
      if (!existsSync(file)) t.fail(`${document} links to ${target}`)
      else if (fragment !== undefined && name.endsWith('.md') && !fragmentsOf(name).has(fragment)) {
        t.fail(`${document} links to ${target}, and there is no such heading`)
      }
    }
  }
  t.ok(links > 200, `${links} links`)
})

t.test('docs/README.md lists every page for users', async t => {
  const index = read('docs/README.md')
  for (const document of documents) {
    if (document === 'docs/README.md' || document === 'bench/README.md' || document === 'README.md') continue
    const target = document.startsWith('docs/') ? document.slice('docs/'.length) : `../${document}`
    t.ok(index.includes(`](${target})`), document)
  }
})

t.test('every block of code has a language, and no mark but the known ones', async t => {
  const known = /^(fragment|ts|tsx|(file|recipe|mount|types)=\S+)$/
  for (const document of documents) {
    for (const { line, language, marks } of snippetsOf(document)) {
      // Schemes of frames and formats have none.
      if (language === '') continue
      const wrong = marks.filter(mark => !known.test(mark))
      t.same(wrong, [], `${document}:${line}`)
    }
  }
})

/**
 * The commands of `twinrail`, each with the flags that a document may give it: `serve` and `guide` have theirs, and the
 * others are given any flag of the command line's source.
 */
function commandsOfTwinrail(): Map<string, ReadonlySet<string>> {
  const source = read('src/cli/main.ts')
  const names = [...source.matchAll(/(?:\.command|clientCommand)\('([a-z]+)/g)].map(([, name = '']) => name)
  const written = [...source.matchAll(/'(?:-\w, )?(--[a-z][a-z\d-]*)/g)].map(([, flag = '']) => flag)
  const ofLogs = ['--log', '--redis-prefix']
  const found = new Map<string, ReadonlySet<string>>(
    names.map(name => [name, new Set([...written, ...ofLogs, '--help'])]),
  )
  found.set('serve', new Set([...Object.values(serveSettings).map(({ flag }) => flagOf(flag)), '--help']))
  found.set('guide', new Set([...guideFlags.map(({ flag }) => flagOf(flag)), '--json', '--help']))
  return found
}

const flagOf = (usage: string) => usage.split(' ')[0] as string

t.test('every command line in a document names commands, flags and scripts that there are', async t => {
  const commands = commandsOfTwinrail()
  for (const name of ['conformance', 'doctor', 'export', 'guide', 'import', 'run', 'serve', 'tail']) {
    t.ok(commands.has(name), name)
  }
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  const settings = Object.keys(serveSettings).map(variableOf)
  const variables = new Set([...settings, 'TWINRAIL_URL', 'TWINRAIL_TRANSPORT', 'TWINRAIL_TOKEN'])
  let lines = 0
  for (const document of documents.filter(name => name !== 'CHANGELOG.md')) {
    const code = snippetsOf(document)
      .filter(({ language }) => language === 'sh')
      .map(({ code }) => code.replaceAll('\\\n', ' '))
    // In prose, what is in backticks.
    const inline = [...withoutCode(read(document)).matchAll(/`([^`\n]+)`/g)].map(([, text = '']) => text)
    for (const line of [...code.flatMap(text => text.split('\n')), ...inline]) {
      const [, name = '', rest = ''] = /(?:^|\s)twinrail ([a-z]+)\b(.*)$/.exec(line) ?? []
      // Image and volume of the Docker example are called twinrail as well.
      if (name !== '' && !/docker build|npm install/.test(line)) {
        lines++
        const flags = commands.get(name)
        if (!flags) t.fail(`${document}: there is no command twinrail ${name}`)
        const given = rest.replaceAll(/"[^"]*"|'[^']*'/g, '').matchAll(/(?<=\s)--[a-z][a-z\d-]*/g)
        for (const [flag] of given) {
          if (flags && !flags.has(flag)) t.fail(`${document}: twinrail ${name} ${flag}`)
        }
      }
      const [, script] = /^npm run (?:--silent )?([a-z:]+)/.exec(line) ?? []
      if (script && document !== 'client/python/README.md' && !/^(dev)$/.test(script)) {
        t.ok(scripts[script], `${document}: npm run ${script}`)
      }
      for (const [variable] of line.matchAll(/\bTWINRAIL_[A-Z_]+(?==)/g)) {
        t.ok(variables.has(variable), `${document}: ${variable}`)
      }
    }
  }
  t.ok(lines > 40, `${lines} command lines`)
})

/** What must be the same in a page and in its translation. */
function shapeOf(document: string) {
  const text = read(document)
  return {
    headings: [...withoutCode(text).matchAll(/^(#+) /gm)].map(([, marks = '']) => marks.length),
    code: snippetsOf(document).map(({ language, marks, code }) => [language, ...marks, code]),
    tables: [...withoutCode(text).matchAll(/(?:^\|.*\n)+/gm)].map(([table]) =>
      table
        .trim()
        .split('\n')
        .map(row => row.split(/(?<!\\)\|/).length - 2),
    ),
    lists: withoutCode(text).match(/^(?:- |\d+\. )/gm)?.length ?? 0,
    images: [...withoutCode(text).matchAll(/!\[[^\]]*\]\(([^)]+)\)/g)].map(([, target]) => target),
    /** Names in code, in any order: a sentence in another language has them elsewhere. */
    names: [...new Set([...withoutCode(text).matchAll(/`([^`\n]+)`/g)].map(([, name]) => name))].sort(),
  }
}

t.test('the Chinese pages have the headings, code, tables and names of the English ones', async t => {
  const pages = [
    ['README.md', 'README.zh-CN.md'],
    ...documents
      .filter(name => name.startsWith('docs/zh/'))
      .map(name => [name.replace('docs/zh/', 'docs/'), name]),
  ] as [string, string][]
  t.ok(pages.length >= 3)
  for (const [english, chinese] of pages) t.strictSame(shapeOf(chinese), shapeOf(english), chinese)
})
