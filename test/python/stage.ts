/** A real server for the tests of the Python package, a proxy that cuts its connections, and the process that runs them. */
import { spawn, spawnSync } from 'node:child_process'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { SignJWT } from 'jose'
import type { Test } from 'tap'
import { z } from 'zod'
import { playback } from '../../src/agents/playback.ts'
import { jwtAuthorize } from '../../src/auth/jwt.ts'
import { createServer, defineAgent, type ServerOptions, type TwinrailServer } from '../../src/index.ts'
import { seedOf } from '../../src/log/contract/random.ts'
import { openLmdbLog } from '../../src/log/lmdb.ts'
import { asking, echoing } from '../client/stage.ts'
import { type Cutter, cutter } from '../fixtures/cutter.ts'

export const packageFolder = fileURLToPath(new URL('../../client/python', import.meta.url))

const SECRET = 'a secret of tests that is long enough'

/** Why the tests are not run; `false` when they are. */
export function missing(): string | false {
  const wanted = 'import sys, websockets.asyncio.client; sys.exit(sys.version_info < (3, 10))'
  const { status, stderr } = spawnSync('python3', ['-c', wanted], { encoding: 'utf8' })
  if (status === 0) return false
  if (status === null) return 'there is no python3'
  return stderr.includes('No module')
    ? 'python3 has no module websockets: pip install it, and set PYTHONPATH'
    : 'python3 is older than 3.10'
}

/** Does nothing until it is cancelled. */
const idle = defineAgent({
  name: 'idle',
  description: 'Waits',
  input: z.unknown(),
  async *run(_, { signal }) {
    await new Promise(resolve => signal.addEventListener('abort', resolve))
  },
})

/** Completes with its input. */
const echo = defineAgent({
  name: 'echo',
  description: 'Completes with its input',
  input: z.unknown(),
  async *run(input) {
    yield { type: 'run.status', data: { status: 'echoing' } }
    return { result: input ?? null }
  },
})

export interface PythonStage {
  /** The server's address, and that of the proxy before it. */
  url: string
  proxy: Cutter
  /** The environment of its programs. */
  env: NodeJS.ProcessEnv
  /** Runs the tests of a module of `client/python/tests` as a subtest. */
  run(module: string): Promise<unknown>
}

/**
 * @param folder the folder of an LMDB log; the server can be restarted then
 * @param options of the server
 */
export async function pythonStage(
  t: Test,
  options: ServerOptions = {},
  folder?: string,
): Promise<PythonStage> {
  let server: TwinrailServer
  const start = async (port: number): Promise<string> => {
    const log = folder === undefined ? undefined : await openLmdbLog({ folder })
    server = await createServer({
      agents: [playback, asking, echoing, idle, echo],
      retryMs: 20,
      spreadMs: 50,
      schemaMs: 60_000,
      ...options,
      ...(log && { log }),
    })
    return server.listen({ port })
  }
  const stop = () => server.close({ graceMs: 0 })
  const url = await start(0)
  t.teardown(stop)
  const proxy = await cutter(t, url)
  const slow = await counter(t, url)

  /** What a test of Python asks of this side. */
  const requests: Record<string, (query: URLSearchParams) => Promise<unknown> | unknown> = {
    '/cut': () => proxy.cutAll(),
    '/cut-after': query => {
      proxy.cutAfter = Number(query.get('bytes'))
    },
    '/received': () => slow.received(),
    '/restart': async () => {
      await stop()
      await start(Number(new URL(url).port))
    },
    '/token': query => {
      const allow = query.get('allow')?.split(',')
      return tokenOf(query.get('sub') ?? '', Number(query.get('seconds')), {
        iat: Math.floor(Date.now() / 1000) + Number(query.get('delay')),
        ...(allow && { twinrail: [{ sessions: ['*'], allow }] }),
      })
    },
    '/revoke': async query => {
      const claims = { twinrail: [{ sessions: ['*'], allow: ['admin'] }] }
      const response = await fetch(`${url}/v1/revocations`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          authorization: `Bearer ${await tokenOf('admin', 600, claims)}`,
        },
        body: JSON.stringify({ principal: query.get('sub') }),
      })
      return response.status
    },
  }
  const control = createHttpServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://control')
    const answer = await requests[pathname]?.(searchParams)
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answer ?? null))
  })
  await new Promise<void>(resolve => control.listen(0, '127.0.0.1', resolve))
  t.teardown(() => control.close())

  const env = {
    ...process.env,
    PYTHONPATH: [packageFolder, process.env['PYTHONPATH']].filter(Boolean).join(':'),
    PYTHONDONTWRITEBYTECODE: '1',
    TWINRAIL_URL: url,
    TWINRAIL_CUT_URL: proxy.url,
    TWINRAIL_COUNTED_URL: slow.url,
    TWINRAIL_CONTROL_URL: `http://127.0.0.1:${(control.address() as AddressInfo).port}`,
    SEED: String(seedOf(t)),
  }
  return {
    url,
    proxy,
    env,
    run: module =>
      t.spawn('python3', ['-W', 'error', '-m', 'tests', module], { cwd: packageFolder, env }, module),
  }
}

/** Runs a program in Python to its end. */
export async function execute(
  { env }: Pick<PythonStage, 'env'>,
  ...args: string[]
): Promise<{ code: number | null; output: string }> {
  const child = spawn('python3', ['-W', 'error', ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', text => {
      output += text
    })
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject).on('close', resolve)
  })
  return { code, output }
}

/** A token that differs from all others. */
let tokens = 0
const tokenOf = (sub: string, seconds: number, claims: Record<string, unknown> = {}) =>
  new SignJWT({ sub, jti: String(++tokens), ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuedAt(claims['iat'] as number | undefined)
    .setExpirationTime(`${seconds}s`)
    .sign(new TextEncoder().encode(SECRET))

/** The options of a server whose tokens the path `/token` of the control makes. */
export const authorized = () => ({ authorize: jwtAuthorize({ secret: SECRET }) })

/** A proxy that counts the bytes that it has taken from the server. Its client's TCP window holds it back. */
async function counter(t: Test, target: string): Promise<{ url: string; received(): number }> {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  let received = 0
  const proxy = createTcpServer(near => {
    const far = connect(Number(port), hostname)
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => {}).on('close', () => sockets.delete(socket) && other.destroy())
    }
    near.pipe(far)
    far.on('data', bytes => {
      received += bytes.length
    })
    far.pipe(near)
  })
  await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    proxy.close()
  })
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, received: () => received }
}
