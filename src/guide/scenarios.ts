/** Typical applications, their needs, and the tutorial's recommendations. The benchmark has a workload for each. */
import { chooseTransport, type Recommendation } from './choose.ts'
import type { EvidenceId, Measure, NetworkMeasure, ScenarioName, Transport } from './names.ts'
import type { Needs } from './needs.ts'

/** A recommendation of the tutorial that this guide was checked against, an introduction to streaming protocols. */
export interface Teaching {
  /** The transport that the tutorial recommends. */
  readonly transport: Transport
  /** The tutorial's reason. */
  readonly reason: string
  /** Whether the reason is right. */
  readonly holds: 'yes' | 'in part' | 'no'
  /** Why the reason is right or wrong. */
  readonly because: string
}

/** A typical application. */
export interface Scenario {
  /** The application's name, for people. */
  readonly title: string
  /** The application in a sentence or two. */
  readonly about: string
  /** What the application needs, as far as it differs from the defaults. */
  readonly needs: Needs
  /** The measures that matter for this application, the most important first. */
  readonly measures: readonly Measure[]
  /** What matters for it of the figures through the imitated network. @default nothing */
  readonly networkMeasures?: readonly NetworkMeasure[]
  /** What the tutorial recommends; absent for applications that the tutorial does not have. */
  readonly teaching?: Teaching
}

/** All scenarios by name. */
export const scenarios: Readonly<Record<ScenarioName, Scenario>> = {
  chat: {
    title: 'Chat with streamed answers',
    about: 'A user sends a prompt now and then; the answer arrives token by token, dozens per second.',
    needs: { upstreamPerSecond: 0.1 },
    measures: ['firstEvent', 'deliver', 'cpu', 'bytes', 'slow'],
    networkMeasures: ['cold'],
    teaching: {
      transport: 'sse',
      reason: 'SSE is plain HTTP, flows one way and reconnects by itself.',
      holds: 'in part',
      because:
        'Plain HTTP and one way: yes. But only `EventSource` reconnects by itself, and only after a GET that was answered with 200. An answer to a POST is not resumed; the client has to send the POST again. In Twinrail a POST starts the run once, and a GET with a cursor follows it.',
    },
  },
  editing: {
    title: 'Collaborative editing',
    about:
      'Several people type in one document. Small updates and cursor positions go both ways, ten per second from each person.',
    needs: { upstreamPerSecond: 11 },
    measures: ['uplink', 'deliver', 'bytes', 'cpu', 'storm'],
    networkMeasures: ['laterCommand'],
    teaching: {
      transport: 'websocket',
      reason: 'Both directions are in use all the time.',
      holds: 'yes',
      because:
        'On a socket each update of a client is one frame. With SSE it is a request with headers, and requests on several connections may overtake each other.',
    },
  },
  training: {
    title: 'Training monitor',
    about: 'A training job reports its loss and accuracy step by step, for hours; people only watch.',
    needs: {},
    measures: ['deliver', 'cpu', 'bytes', 'memory', 'slow'],
    networkMeasures: ['cold'],
    teaching: {
      transport: 'sse',
      reason: 'The data flows one way, over a standard that every browser has.',
      holds: 'yes',
      because:
        'Clients send nothing, and SSE and WebSocket are both standards that every browser has, so the direction decides. Of what differs, SSE has its first event a round trip sooner, which each person notices; WebSocket takes less memory per connection, which only the server does.',
    },
  },
  game: {
    title: 'Game against an AI',
    about: 'Moves go both ways at a fixed tick of 50 ms.',
    needs: { upstreamPerSecond: 20 },
    measures: ['uplink', 'deliver', 'cpu', 'bytes'],
    networkMeasures: ['laterCommand'],
    teaching: {
      transport: 'websocket',
      reason: 'WebSocket has lower latency because it has no HTTP headers.',
      holds: 'no',
      because:
        'Neither sends headers per event: SSE sends them once per stream. A socket is cheaper for what clients send: one frame per move instead of one request.',
    },
  },
  documents: {
    title: 'Document analysis',
    about: 'A client uploads a document once; plan, sources and summary arrive over seconds to minutes.',
    needs: { upstreamPerSecond: 0.01 },
    measures: ['firstEvent', 'deliver', 'bytes', 'storm'],
    networkMeasures: ['resumed'],
    teaching: {
      transport: 'sse',
      reason: 'Progress flows one way, and a long task survives by automatic reconnect.',
      holds: 'in part',
      because:
        'One way: yes. But a task survives a lost connection because the client resumes at its cursor in the log, which works the same on every transport.',
    },
  },
  dashboards: {
    title: 'Dashboards with many streams',
    about:
      'One page over HTTP/1.1 follows twenty sessions at a time. Over HTTP/2 there is no limit of six connections, and SSE works as well.',
    needs: { sessions: 20, connections: 6 },
    measures: ['memory', 'handshake', 'firstEvent', 'cpu', 'deliver'],
    networkMeasures: ['cold', 'others'],
  },
  mobile: {
    title: 'Mobile clients',
    about:
      'There are few events, but the phone sleeps and changes networks, so the cost of reconnecting matters most.',
    needs: { upstreamPerSecond: 0.1, mobile: true },
    measures: ['handshake', 'firstEvent', 'storm', 'memory'],
    networkMeasures: ['cold', 'resumed'],
  },
  buffered: {
    title: 'Behind a buffering proxy',
    about:
      'A proxy buffers responses and ignores `x-accel-buffering: no`. (nginx obeys this header with its default settings, but it forwards an upgrade only when configured to.)',
    needs: { buffers: true },
    measures: ['firstEvent', 'deliver'],
  },
  binary: {
    title: 'Binary payloads',
    about:
      'An agent makes pictures or sound; pieces are sent as base64, since events are JSON on every transport.',
    needs: { binary: true },
    measures: ['bytes', 'deliver', 'cpu', 'knee'],
  },
  approvals: {
    title: 'Agent with approvals and steering',
    about: 'An agent asks before it acts; people answer, steer and cancel, a few times a minute.',
    needs: { upstreamPerSecond: 0.2 },
    measures: ['uplink', 'firstEvent', 'deliver'],
    networkMeasures: ['cold', 'firstCommand'],
  },
}

/**
 * Recommends a transport for a scenario, with the figures of its own workload as evidence, and those of the imitated
 * network that matter for it or that its reasons speak of. Does not throw.
 * @param more needs that are added to those of the scenario, or override them. @default none
 */
export function recommend(name: ScenarioName, more: Needs = {}): Recommendation {
  const { needs, measures, networkMeasures = [] } = scenarios[name]
  const choice = chooseTransport({ ...needs, ...more })
  const own: EvidenceId[] = [
    ...measures.map(measure => `${name}/${measure}` as const),
    ...networkMeasures.map(measure => `networks/${measure}` as const),
  ]
  const spokenOf = choice.evidence.filter(id => id.startsWith('networks/'))
  return { ...choice, evidence: [...new Set([...own, ...spokenOf])] }
}
