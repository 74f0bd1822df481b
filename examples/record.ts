/**
 * Records runs of the examples for the benchmark: `node --import=./test/loader/register.mjs examples/record.ts [name …]`
 * writes `bench/traces/<name>.ndjson`. The times are those of the log, so nothing else should run meanwhile.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { type Agent, createServer } from 'twinrail'
import { builtInAgent } from './chat/built-in.ts'
import { Shop } from './chat/shop.ts'
import { createTools } from './chat/tools.ts'
import { documents } from './documents/agent.ts'
import { samples } from './documents/samples.ts'
import { trainingAgent } from './training/agent.ts'

interface Recording {
  readonly about: string
  readonly agent: Agent
  /** An input for each take. */
  readonly inputs: readonly object[]
}

/** From the end of a run to the begin of the next one, in ms: somebody reads. */
const READING_MS = 500

const recordings: Record<string, Recording> = {
  chat: {
    about:
      'Answers of the example chat: reasoning, tools, sources, and text word by word; a take is one answer.',
    agent: builtInAgent(createTools(new Shop())) as Agent,
    // None that asks for an approval or fails: those are the workload `approvals`.
    inputs: [
      'What can you do?',
      'Where is order 1042?',
      'Where is order 1043?',
      'How long does shipping take?',
      'How do I return something?',
      'Write a guide to bicycle care',
      'Is there a warranty?',
      'Write a guide for a child’s first bicycle',
    ].map(prompt => ({ prompt })),
  },
  documents: {
    about:
      'Analyses of the example documents: plans, facts, terms, sources, a summary word by word; a take is one text.',
    agent: documents as Agent,
    inputs: samples.map(({ file }) => ({ name: file, text: read(`documents/samples/${file}`) })),
  },
  training: {
    about:
      'The steps of the example training, 20 a second, and once a second its boundary; a take is one training.',
    agent: trainingAgent as Agent,
    inputs: [1, 2, 3].map((seed, index) => ({
      seed,
      steps: 300,
      learningRate: [0.01, 0.03, 0.003][index] as number,
      units: 16,
    })),
  },
}

function read(path: string): string {
  return readFileSync(new URL(path, import.meta.url), 'utf8')
}

/** One run, as lines: `time` in ms since it began, and `$run` for its id. Its length is in the last line. */
async function take(agent: Agent, input: object): Promise<string[]> {
  const server = await createServer({ agents: [agent], page: false, metrics: false })
  try {
    const sessionId = 'recorded'
    await server.sessions.create({ sessionId })
    const { runId } = await server.sessions.start(sessionId, { agent: agent.name, input })
    const lines: string[] = []
    let begun: number | undefined
    let time = 0
    for await (const event of server.sessions.events(sessionId, { run: runId, follow: true })) {
      const { type, data, ...rest } = event as { type: string; data: Record<string, unknown>; time: number }
      begun ??= rest.time
      time = rest.time - begun
      if (type === 'run.failed') throw new Error(`${agent.name}: ${JSON.stringify(data)}`)
      const own = { ...data, ...('messageId' in data && { messageId: `${runId}-message` }) }
      lines.push(JSON.stringify({ time, type, runId, data: own }).replaceAll(runId, '$run'))
      if (type === 'run.completed') break
    }
    return [...lines, JSON.stringify({ take: time + READING_MS })]
  } finally {
    await server.close({ graceMs: 0 })
  }
}

for (const name of process.argv.length > 2 ? process.argv.slice(2) : Object.keys(recordings)) {
  const recording = recordings[name]
  if (!recording) throw new Error(`expected one of ${Object.keys(recordings).join(', ')}, received ${name}`)
  const { about, agent, inputs } = recording
  const lines = [JSON.stringify({ trace: name, about, from: `examples/${name}, by examples/record.ts` })]
  for (const input of inputs) lines.push(...(await take(agent, input)))
  writeFileSync(new URL(`../bench/traces/${name}.ndjson`, import.meta.url), `${lines.join('\n')}\n`)
  process.stdout.write(`${name}: ${lines.length} lines\n`)
}
