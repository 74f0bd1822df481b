/** `twinrail doctor <url>`: measures every transport as clients reach it, through all proxies, and reports what works. */
import { styleText } from 'node:util'
import { exitCodes } from '../exit.ts'
import { type Environment, type Output, Screen } from '../screen.ts'
import { StatusLine } from '../status-line.ts'
import { diagnose, failedReport, type Measurements, type Traces } from './diagnosis.ts'
import { ANSWER_TIMEOUT_MS, now, waitAtMost } from './http.ts'
import { probeLongPoll, probeSse, probeWebSocket } from './probes.ts'
import { formatReport, type Paint, type Report } from './report.ts'
import { CannotMeasure, DoctorSession, EVENT_COUNT, EVENT_INTERVAL_MS, inspectServer } from './server.ts'

/** How long to wait for first messages, and for the ends of connections, before going on without them, in ms. */
const PATIENCE_MS = 2000

/** The longest time that the server holds a long-poll, in ms. */
const MAX_POLL_MS = 30_000

/** The agent that plays given events. It gives the POST that is answered with a stream something to send. */
const PLAYBACK = 'playback'

export interface DoctorOptions {
  url: string
  /** Sent with every request. */
  headers: Record<string, string>
  /** How long nothing is sent, to see whether something closes idle connections, in ms. */
  silenceMs: number
  /** Print the report as JSON instead. */
  json: boolean
  stdout: Output
  stderr: Output
  /** Aborts on Ctrl-C. */
  signal: AbortSignal
  /** @default process.env */
  env?: Environment
}

/** @returns the process's exit code: 0 when everything works, 1 when something does not */
export async function doctorCommand(options: DoctorOptions): Promise<number> {
  const { signal, json, stdout, stderr, env = process.env } = options
  const screen = new Screen(stdout, stderr, env)
  try {
    const report = await makeReport(options, screen)
    if (json) screen.json(JSON.stringify(report, null, 2))
    else for (const line of formatReport(report, painter(stdout, env))) screen.styled(line)
    return report.healthy ? exitCodes.completed : exitCodes.failed
  } catch (error) {
    if (signal.aborted) return exitCodes.interrupted
    throw error
  }
}

/** Measures, and shows each step and how long it may still take. */
async function makeReport(options: DoctorOptions, screen: Screen): Promise<Report> {
  const { url, stderr, env = process.env } = options
  const status = new StatusLine(stderr, env)
  let current = ''
  let until = 0
  status.start(() => {
    const left = Math.ceil((until - now()) / 1000)
    return left > 0 ? `${current} · at most ${left} s` : current
  })
  const onStep = (step: string, atMostMs: number) => {
    current = step
    until = now() + atMostMs
    screen.note(`· ${step}`)
  }
  try {
    return diagnose(await measure(options, onStep))
  } catch (error) {
    if (error instanceof CannotMeasure) return failedReport(url, error.code, error.message)
    throw error
  } finally {
    status.stop()
  }
}

/** Colours only on a terminal. */
function painter(stdout: Output, env: Environment): Paint {
  const coloured = Boolean(stdout.isTTY) && !env['NO_COLOR'] && env['TERM'] !== 'dumb'
  return (format, text) => (coloured ? styleText(format, text, { validateStream: false }) : text)
}

type MeasureOptions = Pick<DoctorOptions, 'url' | 'headers' | 'silenceMs' | 'signal'>

/**
 * Opens every transport on one session at once, so that each published event goes to all of them. The session is deleted
 * before this settles.
 * @throws CannotMeasure; the reason of `signal` when it aborts
 */
async function measure(
  options: MeasureOptions,
  onStep: (step: string, atMostMs: number) => void,
): Promise<Measurements> {
  const { url, headers, silenceMs, signal } = options
  onStep(`looking for a server at ${url}`, ANSWER_TIMEOUT_MS)
  const server = await inspectServer(url, headers, signal)
  const session = new DoctorSession(url, headers, signal)
  const probes = new AbortController()
  const probing = AbortSignal.any([signal, probes.signal])
  const settled = async (ms: number, promises: Promise<void>[]) => {
    await waitAtMost(ms, Promise.all(promises), signal)
    signal.throwIfAborted()
  }
  try {
    await session.create()
    const pageRefused = await session.refusalOfOwnPage()
    const unavailable = await session.statusOfUnavailable()

    onStep('opening every transport', PATIENCE_MS)
    const traces = startProbes(options, session, server.agents.includes(PLAYBACK), probing)
    const { sse, pingedSse, postedSse, websocket, longPoll } = traces
    const streams = [sse, pingedSse, ...(postedSse ? [postedSse] : [])]
    await settled(
      PATIENCE_MS,
      [...streams, websocket].map(({ firstMessage }) => firstMessage),
    )

    onStep(`publishing ${EVENT_COUNT} events, one after the other`, EVENT_COUNT * EVENT_INTERVAL_MS)
    const published = await session.publish()
    const resumed = probeSse({
      url: session.address('events'),
      headers: { ...headers, 'last-event-id': published[0]!.offset },
      signal: probing,
    })

    onStep('sending nothing, to see whether something closes idle connections', silenceMs)
    await settled(
      silenceMs,
      [sse, pingedSse, websocket, longPoll].map(({ closed }) => closed),
    )

    // A proxy that buffers a stream releases it when it ends. This distinguishes late events from lost ones.
    onStep('ending the session', PATIENCE_MS)
    await session.delete()
    await settled(
      PATIENCE_MS,
      [...streams, resumed, longPoll].map(({ closed }) => closed),
    )
    return { url, server, pageRefused, unavailable, published, ...traces, resumed }
  } finally {
    probes.abort()
    await session.delete()
  }
}

function startProbes(
  { url, headers, silenceMs }: MeasureOptions,
  session: DoctorSession,
  hasPlayback: boolean,
  signal: AbortSignal,
): Traces {
  return {
    sse: probeSse({ url: session.address('events'), headers, signal }),
    pingedSse: probeSse({
      url: session.address('events', { heartbeatMs: 1000 }),
      headers: { ...headers, 'accept-encoding': 'identity' },
      signal,
    }),
    postedSse: hasPlayback
      ? probeSse({
          url: session.address('commands'),
          method: 'POST',
          headers,
          body: startOfPlayback(),
          signal,
        })
      : undefined,
    websocket: probeWebSocket(url, session.id, headers, signal),
    // Shorter than the silence, so that at least one poll ends by itself during it.
    longPoll: probeLongPoll(
      url,
      session.id,
      Math.min(Math.round(0.8 * silenceMs), MAX_POLL_MS),
      headers,
      signal,
    ),
  }
}

/** A run whose events have the same interval as the published ones. */
function startOfPlayback(): object {
  const events = Array.from({ length: EVENT_COUNT }, (_, i) => ({
    type: 'x.doctor',
    data: { number: i + 1 },
    time: i * EVENT_INTERVAL_MS,
  }))
  return { id: 'play', type: 'run.start', agent: PLAYBACK, input: { events } }
}
