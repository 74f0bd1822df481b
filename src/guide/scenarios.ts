/** Typical applications, what each needs, and what a tutorial recommends for it. Each name is also a benchmark's workload. */
import { chooseTransport, type Recommendation } from './choose.ts'
import type { Measure, ScenarioName, Transport } from './names.ts'
import type { Needs } from './needs.ts'

/** The recommendation of the tutorial that this guide was checked against, an introduction to streaming protocols. */
export interface Teaching {
  readonly transport: Transport
  readonly reason: string
  readonly holds: 'yes' | 'in part' | 'no'
  /** Why the reason holds or does not. */
  readonly because: string
}

export interface Scenario {
  readonly title: string
  readonly about: string
  readonly needs: Needs
  /** The figures that matter for it, the most telling first. */
  readonly measures: readonly Measure[]
  readonly teaching?: Teaching
}

export const scenarios: Readonly<Record<ScenarioName, Scenario>> = {
  chat: {
    title: 'Chat with streamed answers',
    about: 'A prompt now and then; the answer comes token by token, some dozens a second.',
    needs: { upstreamPerSecond: 0.1 },
    measures: ['firstEvent', 'deliver', 'cpu', 'bytes', 'slow'],
    teaching: {
      transport: 'sse',
      reason: 'SSE is plain HTTP, flows one way and reconnects by itself.',
      holds: 'in part',
      because:
        'Plain HTTP and one way: yes. But only `EventSource` reconnects by itself, and only a GET that was answered with 200; an answer to a POST is not resumed, it is asked for again. Here a POST starts the run once and a GET with a cursor follows it.',
    },
  },
  editing: {
    title: 'Collaborative editing',
    about:
      'Several people type in one document: small updates and cursor positions both ways, ten a second from each.',
    needs: { upstreamPerSecond: 11 },
    measures: ['uplink', 'deliver', 'bytes', 'cpu', 'storm'],
    teaching: {
      transport: 'websocket',
      reason: 'Both directions are in use all the time.',
      holds: 'yes',
      because:
        'Each update that a client sends is one frame on an open socket; beside SSE it is a request with its headers, and requests on several connections may overtake each other.',
    },
  },
  training: {
    title: 'Training monitor',
    about: 'A training job tells its loss and accuracy step by step, for hours; people only watch.',
    needs: {},
    measures: ['deliver', 'cpu', 'bytes', 'memory', 'slow'],
    teaching: {
      transport: 'sse',
      reason: 'The data flows one way, over a standard that every browser has.',
      holds: 'yes',
      because:
        'Nothing is sent upwards. SSE is part of the HTML standard; WebSocket is one as well, so what decides is the direction.',
    },
  },
  game: {
    title: 'Game against an AI',
    about: 'Moves both ways at a fixed tick of 50 ms.',
    needs: { upstreamPerSecond: 20 },
    measures: ['uplink', 'deliver', 'cpu', 'bytes'],
    teaching: {
      transport: 'websocket',
      reason: 'WebSocket has lower latency because it has no HTTP headers.',
      holds: 'no',
      because:
        'Neither sends headers per event: SSE sends them once per stream. What a socket saves is upwards: a frame per move instead of a request per move.',
    },
  },
  documents: {
    title: 'Document analysis',
    about: 'A document goes up once; plan, sources and summary come down over seconds to minutes.',
    needs: { upstreamPerSecond: 0.01 },
    measures: ['firstEvent', 'deliver', 'bytes', 'storm'],
    teaching: {
      transport: 'sse',
      reason: 'Progress flows one way, and a long task survives by automatic reconnect.',
      holds: 'in part',
      because:
        'One way: yes. What survives a lost connection is the cursor in the log, and that is the same on every transport.',
    },
  },
  dashboards: {
    title: 'Dashboards with many streams',
    about:
      'One page over HTTP/1.1 follows twenty sessions at a time. Over HTTP/2 the limit is gone, and SSE does.',
    needs: { sessions: 20, connections: 6 },
    measures: ['memory', 'handshake', 'firstEvent', 'cpu', 'deliver'],
  },
  mobile: {
    title: 'Mobile clients',
    about:
      'Few events, but the phone sleeps and changes networks: what counts is how cheaply one comes back.',
    needs: { upstreamPerSecond: 0.1, mobile: true },
    measures: ['handshake', 'firstEvent', 'storm', 'memory'],
  },
  buffered: {
    title: 'Behind a buffering proxy',
    about:
      'A proxy holds responses back and does not heed `x-accel-buffering: no`. (nginx heeds it, even as it comes, but passes no upgrade until told to.)',
    needs: { buffers: true },
    measures: ['firstEvent', 'deliver'],
  },
  binary: {
    title: 'Binary payloads',
    about:
      'An agent makes pictures or sound; pieces come as base64, since events are JSON on every transport.',
    needs: { binary: true },
    measures: ['bytes', 'deliver', 'cpu', 'knee'],
  },
  approvals: {
    title: 'Agent with approvals and steering',
    about: 'An agent asks before it acts; people answer, steer and cancel, a few times a minute.',
    needs: { upstreamPerSecond: 0.2 },
    measures: ['uplink', 'firstEvent', 'deliver'],
  },
}

/**
 * What to take for a scenario, by the figures of its own workload.
 * @param more needs beside the scenario's own, or instead of them
 */
export function recommend(name: ScenarioName, more: Needs = {}): Recommendation {
  const { needs, measures } = scenarios[name]
  return {
    ...chooseTransport({ ...needs, ...more }),
    evidence: measures.map(measure => `${name}/${measure}` as const),
  }
}
