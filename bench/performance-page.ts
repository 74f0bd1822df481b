/** Writes `docs/performance.md` from the newest committed result of each scenario. Pure. */
import { type Aim, figure, isReached, type KeptResult, type Table } from './report.ts'

interface Section {
  readonly title: string
  /** The question that the scenario answers, and how to read its figures. */
  readonly text: string
  readonly picture?: string
}

/** In the order of the page. */
const sections: Readonly<Record<string, Section>> = {
  fanout: {
    title: 'One event to many clients',
    text: 'What one delivered event costs the server, beside other servers in the same run. The floor writes ready bytes to bare sockets: nothing can cost less.',
    picture: '![CPU per delivered event, beside other servers](images/fanout.svg)',
  },
  commands: {
    title: 'Commands from clients',
    text: 'What a command costs: it is checked, appended to the log, acknowledged, and delivered to a room of four. The others keep no log.',
  },
  connections: {
    title: 'Idle connections',
    text: 'What a client costs that only waits, and how long many take to come, at first and after a restart of the server.',
  },
  processes: {
    title: 'Several processes on one machine',
    text: 'What `serve --processes 2` costs over one process with the same clients and events, on one Redis.',
  },
  cluster: {
    title: 'A Redis Cluster',
    text: 'How many events several processes append over a Redis Cluster of three masters, compared with one master. Sessions spread over the slots; here all processes share two cores.',
  },
  networks: {
    title: 'Over networks',
    text: 'What a network adds, through a proxy that delays: round trips to connect, to resume and for commands, and what a lost packet holds up. A WebSocket subscribes after its upgrade and therefore has its first event one round trip later than SSE; commands on a kept connection take one round trip on every transport.',
  },
  agents: {
    title: 'Agents inside and in workers',
    text: 'What an event costs that an agent yields, inside the server and in a worker process, and how long it takes.',
  },
  dialects: {
    title: 'Streams of other front ends',
    text: 'What an event costs in the stream of an AI SDK, AG-UI or OpenAI client, beside `reply.sse` of fastify-sse-v2 with ready strings.',
  },
  client: {
    title: 'The client',
    text: 'How many events one client takes with half a core, and how long a long session takes to open.',
  },
  replay: {
    title: 'Joining late',
    text: 'How long a client takes that joins a session of 100,000 events. `compact`, the default, joins neighbouring deltas.',
  },
  slow: {
    title: 'Slow clients',
    text: 'What slow clients cost the server and the others, for each lag policy. `control` is the same run without slow clients.',
  },
  log: {
    title: 'The log',
    text: 'How many events each driver writes, and what it adds to its bare library with the same durability.',
  },
  compression: {
    title: 'Compression',
    text: 'Bytes and CPU of an event when a batch is compressed once for all clients.',
  },
  indexing: {
    title: 'Searching documents',
    text: 'What the agent `deepsearch` spends on its documents when it starts.',
  },
}

const escaped = (text: string) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;')

function markdown({ title, columns, rows }: Table): string {
  const cell = (value: string | number | null) =>
    value === null ? '' : typeof value === 'number' ? figure(value) : escaped(value)
  const line = (cells: readonly (string | number | null)[]) => `| ${cells.map(cell).join(' | ')} |`
  const rule = columns.map((_, i) => (i === 0 ? '---' : '---:'))
  return [`**${escaped(title)}**`, '', line(columns), `| ${rule.join(' | ')} |`, ...rows.map(line)].join('\n')
}

function aimRow(aim: Aim): (string | number)[] {
  const { what, atLeast = false, limit, measured, quartiles, unit = '' } = aim
  return [
    what,
    `${atLeast ? '≥' : '≤'} ${limit}${unit}`,
    measured,
    quartiles ? quartiles.map(figure).join(' to ') : '',
    isReached(aim) ? 'reached' : 'missed',
  ]
}

function section({ title, text, picture }: Section, result: KeptResult): string {
  const { environment, tables, aims, notes, scenario } = result
  const { date, cpu = 'unknown', cores, node } = environment
  const parts = [`## ${title}`, text, ...(picture ? [picture] : []), ...tables.map(markdown)]
  if (aims.length > 0) {
    const columns = ['', 'aim', 'measured', 'quartiles', '']
    parts.push(markdown({ title: 'Aims', columns, rows: aims.map(aimRow) }))
  }
  if (notes.length > 0) parts.push(notes.map(note => `- ${note}`).join('\n'))
  parts.push(
    `\`npm run bench -- ${scenario}\`, ${date.slice(0, 10)}, ${cores} cores (${cpu.trim()}), Node ${node.replace('v', '')}.`,
  )
  return parts.join('\n\n')
}

/** @param results at most one of each scenario; those of unknown scenarios are left out */
export function performancePage(results: readonly KeptResult[]): string {
  const found = new Map(results.map(result => [result.scenario, result]))
  const written = Object.entries(sections).flatMap(([scenario, about]) => {
    const result = found.get(scenario)
    return result ? [section(about, result)] : []
  })
  const aims = results.flatMap(({ aims }) => aims)
  const missed = aims.filter(aim => !isReached(aim)).length
  return `${[
    '# Performance',
    'What the server and the client cost, measured on small shared machines. Absolute figures depend on the machine. The ratios are taken between things that ran side by side in one process or one run, in turns, so that noise meets all of them. A missed aim is shown like a reached one.',
    'For latency and throughput of each transport in ten use cases see the [selection guide](selection-guide.md). How everything is measured is in [the benchmark’s README](../bench/README.md).',
    `${aims.length - missed} of ${aims.length} aims are reached.`,
    ...written,
    '`npm run bench -- report bench/results/<date>-<scenario>.json` writes this page again.',
  ].join('\n\n')}\n`
}
