/** What compose.yaml and deploy/kubernetes.yaml start, as plain processes. */
import { readFileSync } from 'node:fs'
import { SignJWT } from 'jose'
import t from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import { serveSettings } from '../../src/cli/config.ts'
import { serve } from '../e2e/stage.ts'
import { missing, startNginx } from '../fixtures/proxies.ts'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'

const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')

const SECRET = 'a secret of tests that is long enough'
const flags = Object.values(serveSettings).map(({ flag }) => flag.split(' ')[0])
const variables = flags.map(flag => `TWINRAIL_${flag?.slice(2).replaceAll('-', '_').toUpperCase()}`)

async function tokenOf(sub: string): Promise<{ authorization: string }> {
  const signing = new SignJWT({ sub }).setProtectedHeader({ alg: 'HS256' }).setExpirationTime('10m')
  return { authorization: `Bearer ${await signing.sign(new TextEncoder().encode(SECRET))}` }
}

t.test(
  'two nodes and Redis behind nginx, as compose.yaml starts them',
  {
    skip: noRedis || missing('nginx'),
  },
  async t => {
    const { services } = parse(read('compose.yaml'), { merge: true })
    const [program, ...redisArgs] = services.redis.command
    t.equal(program, 'redis-server')
    const redis = await RedisServer.start(t, redisArgs)
    const start = (node: { environment: Record<string, string> }) => {
      const { TWINRAIL_LOG = '', ...environment } = node.environment
      t.equal(TWINRAIL_LOG, 'redis://redis:6379')
      for (const name of Object.keys(environment)) t.ok(variables.includes(name), `${name} is a setting`)
      return serve(t, [], { ...environment, TWINRAIL_LOG: redis.url, TWINRAIL_JWT_SECRET: SECRET })
    }
    const nodes = [await start(services.node1), await start(services.node2)]
    const config = nodes.reduce(
      (config, { url }, i) => config.replace(`node${i + 1}:8787`, new URL(url).host),
      read('deploy/nginx.conf').replace('listen 8080', 'listen 127.0.0.1:PORT'),
    )
    t.notMatch(config, /node\d:/)
    const url = await startNginx(t, config)

    const ann = await tokenOf('ann')
    const post = (path: string, body: unknown, headers: Record<string, string>) =>
      fetch(`${url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      })
    t.equal((await fetch(`${url}/readyz`)).status, 200)
    t.equal((await post('/v1/sessions', { sessionId: 's' }, {})).status, 401, 'not without a token')
    t.equal((await post('/v1/sessions', { sessionId: 's' }, ann)).status, 201)

    const run = { id: '1', type: 'run.start', agent: 'playback', input: { count: 20, rate: 0 } }
    const { runId } = (await (await post('/v1/sessions/s/commands', run, ann)).json()) as { runId: string }
    const stream = await fetch(`${url}/v1/sessions/s/events?run=${runId}`, {
      headers: { accept: 'text/event-stream', ...ann },
    })
    // The stream ends with the run.
    const text = await stream.text()
    t.match(text, /run\.completed/)
    const page = { headers: { accept: 'application/json', ...(await tokenOf('bob')) } }
    t.equal((await fetch(`${url}/v1/sessions/s/events`, page)).status, 404, 'nothing of it is told to others')

    nodes[0]?.child.kill('SIGKILL')
    for (let i = 0; i < 4; i++) {
      const answer = await fetch(`${url}/v1/sessions/s`, { headers: ann })
      t.equal(answer.status, 200, 'the other node serves on')
    }
  },
)

t.test('deploy/nginx.conf is the documented configuration', async t => {
  const [, documented = ''] = /```nginx\n(.*?)```/s.exec(read('docs/several-nodes.md')) ?? []
  t.not(documented, '')
  const own = documented.replace('127.0.0.1:8787', 'node1:8787').replace('127.0.0.1:8788', 'node2:8787')
  t.equal(read('deploy/nginx.conf').replace(/^#.*\n/, ''), own)
})

t.test('the flags, variables and times of deploy/kubernetes.yaml are right', async t => {
  const documents = parseAllDocuments(read('deploy/kubernetes.yaml')).map(document => document.toJS())
  const { spec } = documents.find(({ kind }) => kind === 'Deployment').spec.template
  const [container] = spec.containers
  const [command, ...args] = container.args as string[]
  t.equal(command, 'serve')
  const given = args.filter(arg => arg.startsWith('--'))
  for (const flag of given) t.ok(flags.includes(flag), flag)
  for (const { name } of container.env) t.ok(variables.includes(name), name)
  const ms = (flag: string) => Number(args[args.indexOf(flag) + 1])
  t.ok(spec.terminationGracePeriodSeconds * 1000 >= ms('--drain-ms') + ms('--grace-ms') + 5000)
  const { periodSeconds, failureThreshold, httpGet } = container.readinessProbe
  t.ok(periodSeconds * failureThreshold * 1000 < ms('--drain-ms'))
  t.same([httpGet.path, container.livenessProbe.httpGet.path], ['/readyz', '/healthz'])
  t.match(
    documents.map(({ kind }) => kind),
    ['Deployment', 'PodDisruptionBudget', 'Service'],
  )
})
