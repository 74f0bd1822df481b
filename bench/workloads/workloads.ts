/** The ten workloads: directions and numbers of sessions and clients. Their events are recorded in `bench/traces`. */
import { type Content, type Cue, play } from './trace.ts'
import type { Workload, WorkloadName } from './workload.ts'

/** Events of the recording `name`; each session has a seed of its own. */
const recorded = (name: string) => (seed: number) => play(name, seed)

/** What users send in a run, by the type of the event that it becomes. */
const asUser: Record<string, (cue: Cue) => object> = {
  'run.started': ({ runId, data }) => ({
    type: 'run.start',
    agent: 'approvals',
    input: data['input'],
    runId,
  }),
  'input.steered': ({ runId, data }) => ({ type: 'input.steer', runId, text: data['text'] }),
  'input.answered': ({ data }) => ({
    type: 'input.answer',
    requestId: data['requestId'],
    value: data['value'],
  }),
}

const all: readonly (Workload & { name: WorkloadName })[] = [
  {
    name: 'chat',
    about:
      'Answers are streamed token by token, 30 to 100 per second, each to three devices of one person; clients send nothing.',
    sessions: 6,
    clients: 3,
    content: recorded('chat'),
  },
  {
    name: 'editing',
    about: 'Four people type in each document: each client sends Yjs updates and cursors, and all get them.',
    sessions: 5,
    clients: 4,
    content: recorded('editing'),
    sender: ({ data }) => data['editor'] as number,
  },
  {
    name: 'training',
    about: 'Twelve people watch each training: 20 steps per second with metrics; clients send nothing.',
    sessions: 4,
    clients: 12,
    content: recorded('training'),
  },
  {
    name: 'game',
    about: 'Connect four at a tick of 50 ms: clients send the player’s moves and get the opponent’s.',
    sessions: 20,
    clients: 1,
    content: recorded('game'),
    sender: ({ type, data }) => (type === 'x.move' && data['by'] === 'player' ? 0 : undefined),
  },
  {
    name: 'documents',
    about:
      'Documents are analysed: plans, sources, terms and a streamed summary, for two readers each; clients send nothing.',
    sessions: 15,
    clients: 2,
    content: recorded('documents'),
  },
  {
    name: 'dashboards',
    about: 'Ten pages follow 20 services each: one session per service, two reports per second in each.',
    sessions: 20,
    clients: 10,
    followsAll: true,
    content: recorded('dashboards'),
  },
  {
    name: 'mobile',
    about:
      'Sixty phones get one notification per second each; each loses its connection every 2 s and reconnects.',
    sessions: 60,
    clients: 1,
    content: recorded('mobile'),
    reconnectsEveryMs: 2000,
  },
  {
    name: 'buffered',
    about: 'The chat’s answers for two readers each, direct and through nginx.',
    sessions: 10,
    clients: 2,
    content: recorded('chat'),
  },
  {
    name: 'binary',
    about:
      'Sound in pieces of 50 ms: 2.4 KB each, or 3.2 KB as base64, since events are JSON; two listeners per session.',
    sessions: 10,
    clients: 2,
    content: recorded('binary'),
  },
  {
    name: 'approvals',
    about: 'A real agent asks before it acts; one of two clients starts the run, steers and answers.',
    sessions: 15,
    clients: 2,
    content: recorded('approvals'),
    sender: ({ type }) => (type in asUser ? 0 : undefined),
    command: cue => (asUser[cue.type] as (cue: Cue) => object)(cue),
    agent: true,
  },
]

function* silence(): Content {
  for (;;) yield { atMs: Number.POSITIVE_INFINITY, type: 'x.never', data: {} }
}

/** Nothing is sent: for the cost of a connection by itself. */
const idle: Workload = {
  name: 'idle',
  about: 'Nothing is sent.',
  sessions: 1,
  clients: 0,
  followsAll: true,
  content: silence,
}

export const workloads = Object.fromEntries(
  [...all, idle].map(workload => [workload.name, workload]),
) as Record<Workload['name'], Workload>
