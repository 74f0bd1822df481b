/** docs/limits.md has the figures of the code. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import type { Row } from './fixtures/faults/faults.ts'
import { keptRows, pageWith, renewed } from './fixtures/faults/kept.ts'

const root = new URL('../', import.meta.url)
const read = (path: string) => readFileSync(new URL(path, root), 'utf8')

/** Where the figures of each row stand: a file, and the constants or defaults in it. A row that never changes has none. */
const sources: Record<string, [file: string, ...names: string[]]> = {
  'one event, UTF-8 bytes of JSON': ['src/protocol/limits.ts', 'eventBytes'],
  'one command, one body of JSON, one line of NDJSON': ['src/protocol/limits.ts', 'messageBytes'],
  'nesting of JSON': ['src/protocol/limits.ts', 'NESTING'],
  'arrays and objects in one command, body of JSON or line of NDJSON': [
    'src/protocol/limits.ts',
    'JSON_PARTS',
  ],
  'runs whose leases one empty ingest names': ['src/routes/events.ts', 'RENEWED_RUNS'],
  'a text in an event or command': ['src/protocol/limits.ts', 'TEXT_CHARS'],
  'steps of one `plan.updated`': ['src/protocol/limits.ts', 'PLAN_STEPS'],
  'names in an object whose names are free (`usage`, `schema`, `metadata`)': [
    'src/protocol/limits.ts',
    'FREE_NAMES',
  ],
  'a session’s `metadata`, UTF-8 bytes of JSON': ['src/sessions/merge-metadata.ts', 'METADATA_BYTES'],
  'size of a request’s head': ['node'],
  '`playback`: text of one run': ['src/agents/playback.ts', 'MOST_TEXT'],
  '`playback`: events of one recording': ['src/agents/playback.ts', 'MAX_RECORDED'],
  'agent over HTTP: one frame of its endpoint, characters': ['src/upstream/http-agent.ts', 'FRAME_CHARS'],
  'agent over HTTP: time until the headers of a response': [
    'src/upstream/http-agent.ts',
    'HEADERS_TIMEOUT_MS',
  ],
  'agent over HTTP: time without a byte of a response': ['src/upstream/http-agent.ts', 'SILENCE_TIMEOUT_MS'],
  'agent over HTTP: requests of one run': ['src/upstream/http-agent.ts', 'MAX_REQUESTS'],
  'agent over HTTP: sources of one answer in the dialect `genie`': [
    'src/upstream/dialects/genie.ts',
    'MAX_SOURCES',
  ],
  'a token or API key': ['src/protocol/limits.ts', 'TOKEN_CHARS'],
  'a token’s `sub`': ['src/auth/jwt.ts', 'PRINCIPAL_CHARS'],
  'entries of the claim `twinrail`, patterns of each': ['src/auth/jwt.ts', 'CLAIM_ENTRIES'],
  'use of a ticket': ['src/auth/tickets.ts', 'TICKET_MS', 'DEFAULT_TICKET_MS'],
  'revocations that are remembered': ['src/auth/revocations.ts', 'REVOCATIONS'],
  'commands of one principal per second': ['src/auth/limits.ts', 'commandsPerSecond'],
  'commands of one principal at once': ['src/auth/limits.ts', 'commandBurst'],
  'refusal by such a limit over HTTP, held back': ['src/auth/held-refusals.ts', 'LONGEST_MS'],
  'requests whose refusals are held back, all together': ['src/auth/held-refusals.ts', 'ROOM_BYTES'],
  'bytes of commands and ingest of one principal per second': ['src/auth/limits.ts', 'bytesPerSecond'],
  'bytes of commands and ingest of one principal at once': ['src/auth/limits.ts', 'burstBytes'],
  'open WebSockets, event streams, uploads and waiting long-polls of one principal': [
    'src/auth/limits.ts',
    'connections',
  ],
  'open event streams, subscriptions and waiting long-polls of one principal': [
    'src/auth/limits.ts',
    'subscriptions',
  ],
  'sessions that one principal creates per hour': ['src/auth/limits.ts', 'sessionsPerHour'],
  'sessions of one principal that exist': ['src/auth/limits.ts', 'sessions'],
  'open runs of one principal': ['src/auth/limits.ts', 'runs'],
  'what the clients of one address may do together, as a multiple of one principal': [
    'src/engine.ts',
    'perAddress',
  ],
  'principals, and addresses, whose rates are remembered': ['src/auth/buckets.ts', 'REMEMBERED'],
  'what is authorized again at a time': ['src/auth/rechecks.ts', 'AT_A_TIME'],
  'one question with its schema, UTF-8 bytes of JSON': ['src/sessions/question.ts', 'QUESTION_BYTES'],
  'nesting of a question’s schema': ['src/sessions/question.ts', 'SCHEMA_NESTING'],
  'one check of a schema, or of an answer against it': ['src/sessions/schemas/checker.ts', 'maxMs'],
  'heap of the thread that checks schemas': ['src/sessions/schemas/checker.ts', 'HEAP_MB'],
  'checks that wait for the thread': ['src/sessions/schemas/checker.ts', 'MAX_WAITING'],
  'open questions of one run': ['src/bus/open-limits.ts', 'questionsOfRun'],
  'open questions of one session': ['src/bus/open-limits.ts', 'questions'],
  'open questions of one session, UTF-8 bytes of JSON': ['src/bus/open-limits.ts', 'questionBytes'],
  'questions with `expiresAt` that wait in one process': ['src/sessions/expiry.ts', 'maxWaiting'],
  'open connections': ['src/http/limits.ts', 'connections'],
  'open connections of one address': ['src/http/limits.ts', 'connectionsPerAddress'],
  'head of a request, TLS handshake': ['src/http/limits.ts', 'headersMs'],
  'connection without a request': ['src/http/limits.ts', 'idleMs'],
  'WebSocket without credentials, until its `auth`': ['src/http/limits.ts', 'authMs'],
  'next bytes of a JSON body': ['src/http/limits.ts', 'bodyMs'],
  'next bytes of an NDJSON body': ['src/http/limits.ts', 'linesMs'],
  'unfinished bodies, lines of NDJSON and, counted twice, WebSocket messages of the process': [
    'src/http/limits.ts',
    'arrivingBytes',
  ],
  'responses that one connection gets at a time': ['src/http/limits.ts', 'answers'],
  'unread responses of one connection': ['src/http/limits.ts', 'answerBytes'],
  'unread responses of the process': ['src/http/limits.ts', 'allAnswerBytes'],
  'requests that wait in the process': ['src/http/answers.ts', 'WAITING'],
  'response of which nothing is read': ['src/engine.ts', 'stallMs'],
  'commands that wait on one WebSocket': ['src/transports/websocket.ts', 'PENDING_COMMANDS'],
  'unread answers to commands on one WebSocket': ['src/transports/websocket.ts', 'UNREAD_BYTES'],
  'subscriptions of one WebSocket': ['src/protocol/limits.ts', 'subscriptions'],
  'window of a subscription (`windowBytes`)': ['src/protocol/limits.ts', 'WINDOW_BYTES'],
  'one page of events': ['src/protocol/limits.ts', 'PAGE_EVENTS', 'PAGE_BYTES'],
  'pages kept for further requests that ask for the same': [
    'src/transports/shared-pages.ts',
    'KEPT_BYTES',
    'KEPT_MS',
  ],
  'sessions looked at for one list': ['src/routes/sessions.ts', 'LIST_LOOKED'],
  'events looked at for one search of the inspector': [
    'src/routes/inspect-search.ts',
    'SEARCH_LOOKED',
    'SEARCH_CHARS',
  ],
  'text of one search of the inspector, characters': ['src/routes/inspect.ts', 'SEARCH_TEXT'],
  'time after which clients ask for the list of sessions again (`pollMs`)': [
    'src/routes/poll-hint.ts',
    'LEAST_MS',
    'MOST_MS',
  ],
  'runs whose readers are remembered, for AI SDK clients': ['src/dialects/ai-sdk/readers.ts', 'MAX_RUNS'],
  'run ids of AG-UI clients that are remembered': ['src/dialects/ag-ui/routes.ts', 'MAX_JOINABLE'],
  'text of an artifact that an AI SDK message repeats at its end': [
    'src/dialects/ai-sdk/encode.ts',
    'ARTIFACT_TEXT',
  ],
  'text that an OpenAI response repeats at its end': ['src/dialects/openai/encode.ts', 'OUTPUT_TEXT'],
  'text that a Genie stream repeats at its end': ['src/dialects/genie/encode.ts', 'WHOLE_TEXT'],
  'a long-poll’s `wait`': ['src/protocol/limits.ts', 'WAIT_MS'],
  'unread output of the process, each of stdout and stderr': ['src/process-output.ts', 'OUTPUT_BYTES'],
  'open runs of one session': ['src/bus/open-limits.ts', 'runs'],
  'members of one session (presence), about': ['src/presence/members.ts', 'MEMBERS'],
  'members that one process keeps': ['src/presence/members.ts', 'ALL_MEMBERS'],
  'a member’s `state`, UTF-8 bytes of JSON': ['src/routes/presence.ts', 'STATE_BYTES'],
  'answer with a session’s members': ['src/presence/members.ts', 'LIST_CHARS'],
  'changes of members in one event': ['src/presence/members.ts', 'TOLD'],
  'answer about one session’s state': ['src/protocol/limits.ts', 'PAGE_BYTES'],
  'ended runs in a session’s state': ['src/sessions/state.ts', 'ENDED_RUNS'],
  'states of sessions kept in memory': ['src/sessions/states.ts', 'MAX_CACHED', 'MAX_CACHED_BYTES'],
  'agents that metrics name': ['src/sessions/agent-labels.ts', 'AGENT_LABELS'],
  'runs whose times are measured for metrics': ['src/sessions/run-meter.ts', 'MEASURED'],
  'folded event': ['src/protocol/limits.ts', 'FOLD_BYTES'],
  'agents of one worker': ['src/protocol/limits.ts', 'WORKER_AGENTS'],
  'agents of workers that a node knows': ['src/sessions/workers/worker-agents.ts', 'MAX_AGENTS'],
  'description of a worker’s agent, characters': ['src/protocol/limits.ts', 'DESCRIPTION_CHARS'],
  'input schema of a worker’s agent, UTF-8 bytes of JSON': ['src/sessions/question.ts', 'QUESTION_BYTES'],
  'runs that one worker takes at a time': ['src/protocol/limits.ts', 'WORKER_SLOTS'],
  'events of one `work.append`': ['src/protocol/limits.ts', 'WORK_EVENTS'],
  'runs of one agent that wait on one node': ['src/sessions/workers/waiting-runs.ts', 'MAX_WAITING'],
  'time that a run waits for a worker': ['src/sessions/sessions.ts', 'queueMs'],
  'runs of one agent waiting on other nodes that a node remembers': [
    'src/sessions/workers/waiting-runs.ts',
    'MAX_OFFERS',
  ],
  'one unfinished event of an event stream, characters': ['client/connection/sse.ts', 'EVENT_CHARS'],
  'window of a subscription that the client asks for': [
    'client/connection/socket-subscription.ts',
    'WINDOW_BYTES',
  ],
  'events of a view between two frames': ['client/queue.ts', 'QUEUE_LIMIT'],
  'ended runs of a view': ['client/view/reduce.ts', 'RUNS'],
  'gaps of a view': ['client/view/reduce.ts', 'GAPS'],
  'pages that one `loadOlder()` reads': ['client/view/store.ts', 'OLDER_PAGES'],
  'stores without listeners that a client keeps': ['client/view/shared.ts', 'IDLE'],
  'samples behind each measurement of `quality`': ['client/quality.ts', 'SAMPLES'],
  'tabs that share: characters that one tab may be behind': ['client/shared/feed.ts', 'READER_CHARS'],
  'tabs that share: event streams over HTTP/1.1': ['client/shared/hub.ts', 'HTTP_STREAMS'],
  'producer: events on their way and waiting, UTF-8 bytes of JSON': [
    'client/producer/producer.ts',
    'bufferBytes',
  ],
  'producer: events of one request': ['client/producer/producer.ts', 'batchEvents'],
  'producer: one request, UTF-8 bytes of JSON': ['client/producer/producer.ts', 'batchBytes'],
  'worker: events of one run that wait for the server': [
    'client/worker/work-log.ts',
    'MAX_QUEUED_EVENTS',
    'MAX_QUEUED_CHARS',
  ],
  'worker: frames of one run without an answer': ['client/worker/work-log.ts', 'WINDOW'],
  'worker: frames of one connection without an answer': [
    'client/worker/connection.ts',
    'UNANSWERED',
    'UNANSWERED_CHARS',
  ],
  'largest document': ['src/agents/deepsearch/corpus.ts', 'maxFileBytes'],
  'documents of a corpus': ['src/agents/deepsearch/corpus.ts', 'maxFiles'],
  'bytes of all documents': ['src/agents/deepsearch/corpus.ts', 'maxTotalBytes'],
  'disk space that the log leaves free': ['src/log/lmdb.ts', 'RESERVE_BYTES'],
  'size of the log': ['src/log/size-limit.ts', 'maxBytes'],
  'memory of Redis': ['redis'],
  'one LMDB commit': ['src/log/lmdb/writer.ts', 'COMMIT_BYTES', 'COMMIT_JOBS'],
  'LMDB reader slots, one per server': ['src/log/lmdb/store.ts', 'MAX_READERS'],
  'one line of an export, UTF-8 bytes': ['src/protocol/archive.ts', 'ARCHIVE_LINE_BYTES'],
  'stretches of events in a row that the log remembers of one producer': [
    'src/log/conditions.ts',
    'STRETCHES',
  ],
  'wait for an answer of Redis': ['src/log/redis.ts', 'deadlineMs'],
  'wait for the next ping of a Redis subscriber': ['src/log/redis/heartbeat.ts', 'EVERY_MS'],
}

/** The value that a file gives a constant, a property or a default. */
function figureIn(file: string, name: string): number {
  const [, text] =
    new RegExp(`\\b${name}(?: =|:|\\s*\\?\\?) ([\\d_ *]+|Number\\.POSITIVE_INFINITY)`).exec(read(file)) ?? []
  const own = text ?? new RegExp(`options\\.${name} \\?\\? ([\\d_ *]+)`).exec(read(file))?.[1]
  if (own === undefined) throw new Error(`${file} gives ${name} no value`)
  if (own.startsWith('Number')) return Number.POSITIVE_INFINITY
  return own.split('*').reduce((product, factor) => product * Number(factor.replaceAll('_', '')), 1)
}

/** How the document writes a value, by the unit in its name. */
function written(name: string, value: number): string {
  if (value === Number.POSITIVE_INFINITY) return 'none'
  if (/MB$/.test(name)) return `${value} MiB`
  if (name === 'TOKEN_CHARS') return String(value)
  if (/bytes|text|chars/i.test(name) && value >= 1024) {
    return value >= 1024 * 1024 ? `${value / 1024 / 1024} MiB` : `${value / 1024} KiB`
  }
  if (/(?:_MS|[a-z]Ms)$/.test(name)) return value >= 1000 ? `${value / 1000} s` : `${value} ms`
  return value >= 10_000 ? `${Math.floor(value / 1000)} 000` : String(value)
}

const rows = read('docs/limits.md')
  .replace(/\n## Attacks\n[\s\S]*/, '')
  .split('\n')
  .filter(line => line.startsWith('| ') && !line.startsWith('| bound'))
  .map(line => line.split('|').map(cell => cell.trim().replaceAll("'", '’')))
  // The drivers of the log have a table of their own, with three columns.
  .filter(cells => cells.length === 6)

t.test('every row has its source, and every source its row', async t => {
  t.same(
    rows.map(([, bound]) => bound),
    Object.keys(sources),
  )
})

t.test('the defaults are those of the code', async t => {
  for (const [, bound = '', figures = ''] of rows) {
    const [file = '', ...names] = sources[bound] ?? []
    for (const name of names) {
      const value = written(name, figureIn(file, name))
      t.ok(` ${figures} `.replace(',', ' ').includes(` ${value} `), `${bound}: ${value}, told as ${figures}`)
    }
  }
})

t.test('the settings are there', async t => {
  const config = read('src/cli/config.ts')
  const options = [
    'src/options.ts',
    'src/http/limits.ts',
    'src/auth/limits.ts',
    'src/log/lmdb.ts',
    'src/log/redis.ts',
    'src/bus/open-limits.ts',
    'src/agents/deepsearch/deepsearch.ts',
    'src/upstream/http-agent.ts',
    'client/view/store.ts',
    'client/producer/producer.ts',
  ]
    .map(read)
    .join('\n')
  for (const [, bound, , settings = ''] of rows) {
    for (const [, setting = ''] of settings.matchAll(/`([^`]+)`/g)) {
      const name = setting.replace(/^--/, '').replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
      if (setting === 'maxmemory') continue
      const place = setting.startsWith('--') ? config : options
      t.match(place, new RegExp(`\\b${name.split('.').at(-1)}\\??:`), `${bound}: ${setting}`)
    }
  }
})

t.test('the figures of attacks are those that were measured', async t => {
  t.equal(pageWith(keptRows()), read('docs/limits.md'))
})

t.test('an attack that is measured again keeps its place', async t => {
  const row = (attack: string, driver: string, peakMb: number) =>
    ({ attack, driver, wire: 'tls', peakMb }) as Row
  const kept = [row('a', 'memory', 1), row('a', 'lmdb', 2), row('b', 'memory', 3)]
  const later = [row('c', 'memory', 4), row('a', 'lmdb', 5), row('a', 'memory', 6)]
  t.same(renewed(kept, later), [later[2], later[1], kept[2], later[0]])
})
