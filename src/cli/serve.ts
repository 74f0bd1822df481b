/** `twinrail serve`: runs a server with the agents that ship with Twinrail. */
import cluster from 'node:cluster'
import { existsSync, readFileSync } from 'node:fs'
import { z } from 'zod'
import { openAiAgentFromEnv } from '../agents/ai-sdk/openai.ts'
import { createDeepsearch } from '../agents/deepsearch/deepsearch.ts'
import { playback } from '../agents/playback.ts'
import { anyOf } from '../auth/any-of.ts'
import { apiKeyAuthorize } from '../auth/api-keys.ts'
import type { Authorize } from '../auth/authorize.ts'
import { jwtAuthorize } from '../auth/jwt.ts'
import type { Tls } from '../http/server.ts'
import { registriesOfProcess, tellMetrics } from '../metrics.ts'
import { writeOutput } from '../process-output.ts'
import { DOCUMENTS } from '../routes/documents.ts'
import { createServer } from '../server.ts'
import { describeError, stderrLog } from '../stderr-log.ts'
import { createTracing } from '../tracing.ts'
import { httpAgent } from '../upstream/http-agent.ts'
import { DEFAULT_URL, type ServeSettings, SettingsError } from './config.ts'
import { openLog } from './open-log.ts'
import { ownDocuments } from './own-documents.ts'
import { leaveWhenReplaced, shareMetrics, superviseProcesses } from './processes.ts'

const packageRoot = new URL(import.meta.url.includes('/dist/src/') ? '../../../' : '../../', import.meta.url)

/** Writes a message for the operator to stderr. */
function say(message: string): void {
  writeOutput(process.stderr, `twinrail: ${message}\n`)
}

/**
 * Serves until SIGTERM, SIGINT or SIGHUP, then stops gracefully and exits 0; a second SIGTERM or SIGINT exits at once.
 * Resolves when the server listens.
 * @throws SettingsError when the server cannot listen, or a folder or file is missing
 */
export async function serve(settings: ServeSettings): Promise<void> {
  const { host, port, graceMs } = settings
  if (settings.otel) await mustHaveOtel()
  const isOneOfMany = settings.processes > 1
  if (isOneOfMany && cluster.isPrimary) process.exit(await superviseProcesses(settings))
  for (const path of settings.corpus ?? []) {
    if (!existsSync(path)) throw new SettingsError(`--corpus: ${path} does not exist`)
  }
  const authorize = authorizeFrom(settings)
  const chat = agentFromEnv()
  const server = await createServer({
    agents: [deepsearchFrom(settings), playback, ...(chat ? [chat] : []), ...httpAgentsFrom(settings)],
    log: await openLog(settings, say),
    leaseMs: settings.leaseMs,
    retention: { events: settings.retainEvents, bytes: settings.retainBytes, ageMs: settings.retainAgeMs },
    tls: tlsFrom(settings),
    ...(settings.origin && { origins: settings.origin }),
    ...(authorize && { authorize }),
    // Without authorization the inspector shows and ends everybody's streams, which is for this machine only.
    inspector: !settings.insecure,
    ...Object.fromEntries((settings.disable ?? []).map(name => [name, false])),
    recheckMs: settings.recheckMs,
    principalLimits: {
      commandsPerSecond: settings.commandsPerSecond,
      commandBurst: settings.commandsPerSecond * 5,
      bytesPerSecond: settings.bytesPerSecond,
      burstBytes: settings.bytesPerSecond * 8,
      connections: settings.connectionsPerPrincipal,
      subscriptions: settings.subscriptionsPerPrincipal,
      sessionsPerHour: settings.sessionsPerHour,
      sessions: settings.sessionsPerPrincipal,
      runs: settings.runsPerPrincipal,
    },
    perAddress: settings.perAddress,
    ...(settings.trustProxy && { trustedProxies: settings.trustProxy }),
    ...(settings.allowHost && { hosts: settings.allowHost }),
    insecure: settings.insecure,
    heartbeatMs: settings.heartbeatMs,
    maxRunMs: settings.maxRunMs,
    queueMs: settings.queueMs,
    spreadMs: settings.spreadMs,
    compression: settings.compression,
    dialects: settings.dialects,
    tracing: settings.otel,
    connections: {
      connections: settings.maxConnections,
      ...(settings.maxConnectionsPerAddress && { connectionsPerAddress: settings.maxConnectionsPerAddress }),
    },
    logger: process.stderr.isTTY
      ? stderrLog(settings.logLevel)
      : {
          level: settings.logLevel,
          serializers: { err: describeError },
          stream: { write: line => writeOutput(process.stdout, line) },
        },
  })

  let stopping: NodeJS.Signals | 'replaced' | undefined
  const stop = (reason: NodeJS.Signals | 'replaced') => {
    if (stopping) {
      // A terminal that closes sends SIGHUP more than once: from the system and from the shell.
      if (reason === 'SIGHUP' || reason === 'replaced') return
      // The first signal to a process that is being replaced asks it to stop, which it does already.
      if (stopping !== 'replaced') process.exit(1)
      stopping = reason
      return
    }
    stopping = reason
    const drainMs = reason === 'replaced' ? 0 : settings.drainMs
    const draining = drainMs > 0 ? `serving on for ${drainMs / 1000} s, then ` : ''
    say(
      `${reason}: ${draining}stopping; runs have ${graceMs / 1000} s to end. Send SIGINT or SIGTERM to stop at once`,
    )
    server.close({ graceMs, drainMs }).then(
      () => process.exit(0),
      error => {
        say(`could not stop cleanly: ${error}`)
        process.exit(1)
      },
    )
  }
  if (isOneOfMany) {
    tellMetrics(shareMetrics(registriesOfProcess))
    leaveWhenReplaced(server.stopListening, () => stop('replaced'))
    // A terminal sends these to all processes; the supervising one says what they mean.
    for (const signal of ['SIGINT', 'SIGHUP', 'SIGUSR2'] as const) process.on(signal, () => {})
    process.on('SIGTERM', stop)
  } else {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, stop)
  }

  const address = await server.listen({ host, port }).catch(error => {
    throw new SettingsError(cannotListen(error, host, port))
  })
  // One of several processes says it for all.
  if (isOneOfMany && cluster.worker?.id !== 1) return
  const elsewhere = address === DEFAULT_URL ? '' : ` --url ${address}`
  writeOutput(
    process.stdout,
    [
      `Twinrail listens on ${address}`,
      `  page    ${address}/`,
      ...(settings.insecure || settings.disable.includes('inspector')
        ? []
        : [`  inspect ${address}/inspect`]),
      `  try     npx twinrail run deepsearch "When should I use SSE and when WebSocket?"${elsewhere}`,
      `  agents  ${[...server.sessions.agents.keys()].join(', ')}`,
      '',
    ].join('\n'),
  )
}

/**
 * The hook that the settings describe; `undefined` when everybody may do everything.
 * @throws SettingsError when settings are missing or contradict each other, or a file cannot be used
 */
function authorizeFrom(settings: ServeSettings): Authorize | undefined {
  const { auth, jwtSecret, jwtPublicKey, jwksUrl, jwtIssuer, jwtAudience, apiKey = [] } = settings
  const hooks: Authorize[] = []
  const keys = { '--jwt-secret': jwtSecret, '--jwt-public-key': jwtPublicKey, '--jwks-url': jwksUrl }
  const given = Object.entries(keys).flatMap(([flag, value]) => (value === undefined ? [] : [flag]))
  if (auth === 'jwt') {
    if (given.length !== 1) {
      throw new SettingsError(`--auth jwt: give one of ${Object.keys(keys).join(', ')}`)
    }
    try {
      hooks.push(
        jwtAuthorize({
          secret: jwtSecret,
          publicKey: jwtPublicKey === undefined ? undefined : readFileSync(jwtPublicKey, 'utf8'),
          jwksUrl,
          issuer: jwtIssuer,
          audience: jwtAudience,
        }),
      )
    } catch (error) {
      throw new SettingsError(`${given[0]}: ${(error as Error).message}`)
    }
  } else if (given.length > 0 || jwtIssuer !== undefined || jwtAudience !== undefined) {
    throw new SettingsError(`${given[0] ?? '--jwt-issuer and --jwt-audience'}: it needs --auth jwt`)
  }
  if (apiKey.length > 0) {
    try {
      hooks.push(apiKeyAuthorize(apiKey))
    } catch (error) {
      throw new SettingsError(`--api-key: ${(error as Error).message}`)
    }
  }
  return hooks.length === 0 ? undefined : anyOf(...hooks)
}

/** @throws SettingsError when spans cannot be made */
async function mustHaveOtel(): Promise<void> {
  await createTracing(true).catch(error => {
    throw new SettingsError(`--otel: ${(error as Error).message}`)
  })
}

function deepsearchFrom(settings: ServeSettings): ReturnType<typeof createDeepsearch> {
  const { corpus, corpusMaxFileBytes, corpusMaxFiles, corpusMaxBytes, corpusCache } = settings
  return createDeepsearch({
    corpus: corpus ?? ownDocuments(packageRoot),
    // The page's server has Twinrail's own documents.
    ...(!corpus && !settings.disable?.includes('page') && { baseUrl: DOCUMENTS }),
    ...(corpusMaxFileBytes !== undefined && { maxFileBytes: corpusMaxFileBytes }),
    ...(corpusMaxFiles !== undefined && { maxFiles: corpusMaxFiles }),
    ...(corpusMaxBytes !== undefined && { maxTotalBytes: corpusMaxBytes }),
    ...(corpusCache !== undefined && { cache: corpusCache === 'none' ? false : corpusCache }),
  })
}

/** Headers of one agent's requests; `$NAME` stands for an environment variable. */
const AgentHeaders = z.record(z.string(), z.record(z.string(), z.string()))

/** @throws SettingsError when two agents have one name, or the file of headers cannot be used */
function httpAgentsFrom({ agent = [], agentHeaders }: ServeSettings) {
  const headers = agentHeaders === undefined ? {} : headersIn(agentHeaders)
  const names = agent.map(({ name }) => name)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) throw new SettingsError(`--agent: two agents are named ${twice}`)
  const unused = Object.keys(headers).find(name => !names.includes(name))
  if (unused !== undefined) throw new SettingsError(`--agent-headers: there is no --agent ${unused}`)
  return agent.map(({ name, dialect, url }) =>
    httpAgent({ name, dialect, url, headers: withEnvironment(headers[name] ?? {}) }),
  )
}

function headersIn(file: string): z.output<typeof AgentHeaders> {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new SettingsError(`--agent-headers ${file}: ${(error as Error).message}`)
  }
  const parsed = AgentHeaders.safeParse(parsedJson(text))
  if (parsed.success) return parsed.data
  // The content is secret, so it is not repeated.
  const expected = 'expected JSON such as {"support": {"authorization": "Bearer …"}}'
  throw new SettingsError(`--agent-headers ${file}: ${expected}`)
}

function withEnvironment(headers: Record<string, string>): Record<string, string> {
  const replaced = (value: string) =>
    value.replace(/\$([A-Z_][A-Z0-9_]*)/g, (_, name: string) => {
      const found = process.env[name]
      if (found !== undefined) return found
      throw new SettingsError(`--agent-headers: the environment variable ${name} is not set`)
    })
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, replaced(value)]))
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** @throws SettingsError when only one of the two is given, or a file cannot be read */
function tlsFrom({ tlsCert, tlsKey }: ServeSettings): Tls | undefined {
  if (tlsCert === undefined && tlsKey === undefined) return
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new SettingsError('--tls-cert and --tls-key: give both, or neither')
  }
  const read = (flag: string, file: string) => {
    try {
      return readFileSync(file)
    } catch (error) {
      throw new SettingsError(`${flag}: ${(error as Error).message}`)
    }
  }
  return { cert: read('--tls-cert', tlsCert), key: read('--tls-key', tlsKey) }
}

function agentFromEnv(): ReturnType<typeof openAiAgentFromEnv> {
  try {
    return openAiAgentFromEnv(process.env)
  } catch (error) {
    // Many machines have OPENAI_API_KEY set for other purposes. The other agents do not need it.
    say(`the agent chat is not available: ${(error as Error).message}`)
    return undefined
  }
}

function cannotListen(error: NodeJS.ErrnoException, host: string, port: number): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return `port ${port} is in use on ${host}; stop the process that uses it, or choose another port with --port`
    case 'EACCES':
      return `port ${port} on ${host} needs privileges that this process does not have; choose a port above 1023 with --port`
    case 'ENOTFOUND':
    case 'EADDRNOTAVAIL':
      return `${host} is not an address of this machine; choose another one with --host`
    default:
      return error.message
  }
}
