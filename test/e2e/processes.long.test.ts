/** `twinrail serve --processes`: one port, several processes on one Redis, replaced while the port is served. */
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import t, { type Test } from 'tap'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'
import { openSse } from '../fixtures/wire-clients.ts'
import { eventually } from '../fixtures/wire-server.ts'
import { finished, serve, twinrail } from './stage.ts'

t.test('a log that processes cannot share is refused', async t => {
  const { code, stderr } = await finished(twinrail(['serve', '--port', '0', '--processes', '2']))
  t.equal(code, 2)
  t.match(stderr, /--processes 2: processes can share only a Redis/)
})

/** The ids of the processes that a process has started. */
function childrenOf(pid: number): number[] {
  const file = `/proc/${pid}/task/${pid}/children`
  // Without the file, the process has ended.
  if (!existsSync(file)) return []
  return readFileSync(file, 'utf8').trim().split(' ').filter(Boolean).map(Number)
}

async function serveTwo(t: Test, more: string[] = []) {
  const redis = await RedisServer.start(t)
  const { url, child } = await serve(t, [
    '--processes',
    '2',
    '--log',
    redis.url,
    '--grace-ms',
    '2000',
    ...more,
  ])
  const pid = child.pid as number
  await eventually(
    t,
    'both processes serve',
    async () => (await metric(url, /twinrail_processes (\d+)/)) === 2,
  )
  t.teardown(() => {
    // They end by themselves when the supervising process does; the test may fail before.
    for (const each of childrenOf(pid)) process.kill(each, 'SIGKILL')
  })
  return { url, child, pid }
}

async function publish(url: string, n: number): Promise<void> {
  const response = await fetch(`${url}/v1/sessions/s/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', connection: 'close' },
    body: JSON.stringify([{ type: 'x.n', data: { n } }]),
  })
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)
  await response.text()
}

async function metric(url: string, name: RegExp): Promise<number> {
  const response = await fetch(`${url}/metrics`, { headers: { connection: 'close' } })
  const text = await response.text()
  return Number(name.exec(text)?.[1])
}

const skip = noRedis || (process.platform === 'linux' ? false : 'needs /proc')

t.test('clients of one port are served by all processes, and metrics are those of all', { skip }, async t => {
  const { url, child } = await serveTwo(t)
  await publish(url, 0)
  const streams = await Promise.all(
    Array.from({ length: 8 }, () => openSse(t, `${url}/v1/sessions/s/events`)),
  )
  await publish(url, 1)
  for (const stream of streams) {
    await stream.until('x.n')
    t.match(await stream.nextOf('x.n'), { data: { n: 1 } })
  }
  for (let i = 0; i < 4; i++) {
    t.equal(
      await metric(url, /twinrail_connections\{transport="sse"\} (\d+)/),
      8,
      'whichever process is asked',
    )
  }
  // One follower of the session per process: the eight streams are on both.
  t.equal(await metric(url, /twinrail_followed_sessions (\d+)/), 2)
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  for (const stream of streams) t.match(await stream.nextOf('closing'), { code: 'restart' })
  t.same(await exited, [0, null])
})

t.test('SIGUSR2 replaces each process while the port is served', { skip }, async t => {
  const { url, child, pid } = await serveTwo(t)
  const before = childrenOf(pid)
  await publish(url, 0)
  const stream = await openSse(t, `${url}/v1/sessions/s/events`)
  await stream.until('x.n')
  const refused: string[] = []
  let asked = 0
  let isOver = false
  const ask = async (path: string, init: RequestInit) => {
    while (!isOver) {
      asked++
      const answered = await fetch(`${url}${path}`, { ...init, ...each }).then(
        ({ status }) => String(status),
        ({ message, cause }: Error) => `${message}: ${cause}`,
      )
      if (!/^20\d$/.test(answered)) refused.push(`${path}: ${answered}`)
    }
  }
  const each = { headers: { connection: 'close', 'content-type': 'application/json' } }
  const asking = Promise.all([
    ...Array.from({ length: 4 }, () => ask('/healthz', {})),
    ...Array.from({ length: 4 }, () => ask('/readyz', {})),
    ask('/v1/sessions/s/events', { method: 'POST', body: '[{"type":"x.m","data":{}}]' }),
  ])
  child.kill('SIGUSR2')
  t.match(await stream.nextOf('closing'), { code: 'restart' })
  await eventually(t, 'other processes run', async () => {
    const now = childrenOf(pid)
    return now.length === 2 && now.every(each => !before.includes(each))
  })
  isOver = true
  await asking
  t.same(refused, [], `none of ${asked} requests was refused`)
  await publish(url, 1)
})

t.test('SIGTERM while a process is being replaced stops all of them gracefully', { skip }, async t => {
  const { url, child } = await serveTwo(t)
  let said = ''
  child.stderr?.on('data', data => {
    said += data
  })
  // A run on each process keeps it from ending at once.
  for (let i = 0; i < 8; i++) {
    const started = await fetch(`${url}/v1/sessions/s${i}/commands`, {
      method: 'POST',
      headers: { connection: 'close', 'content-type': 'application/json' },
      body: JSON.stringify({
        type: 'run.start',
        id: '1',
        agent: 'playback',
        input: { count: 10_000, rate: 10 },
      }),
    })
    t.equal(started.status, 200, await started.text())
  }
  const exited = once(child, 'exit')
  child.kill('SIGUSR2')
  await eventually(t, 'a process is being replaced', async () => said.includes('replaced: stopping'))
  child.kill('SIGTERM')
  t.same(await exited, [0, null])
  t.notMatch(said, /ended by itself/)
})

t.test('a new process that cannot start leaves the others alone', { skip }, async t => {
  const corpus = t.testdir({ 'a.md': '# A' })
  const { url, child, pid } = await serveTwo(t, ['--corpus', corpus])
  const before = childrenOf(pid)
  let said = ''
  child.stderr?.on('data', data => {
    said += data
  })
  // Each would be counted as a process that ended soon after its start; five of these end the command.
  for (let i = 1; i <= 6; i++) {
    rmSync(corpus, { recursive: true, force: true })
    child.kill('SIGUSR2')
    await eventually(
      t,
      'it is said',
      async () => said.split('the new process did not start').length === i + 1,
    )
  }
  t.same(childrenOf(pid), before)
  await publish(url, 0)
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  t.same(await exited, [0, null])
})

t.test('a process that dies is replaced', { skip }, async t => {
  const { url, child, pid } = await serveTwo(t)
  const [first = 0, second = 0] = childrenOf(pid)
  let said = ''
  child.stderr?.on('data', data => {
    said += data
  })
  process.kill(first, 'SIGKILL')
  await eventually(t, 'it is said', async () => said.includes(`process ${first} ended by itself (SIGKILL)`))
  await eventually(t, 'a new process runs', async () => {
    const now = childrenOf(pid)
    return now.length === 2 && !now.includes(first)
  })
  t.ok(childrenOf(pid).includes(second), 'the other one was left alone')
  await publish(url, 0)
})

t.test('what keeps the first process from starting ends the command', { skip: noRedis }, async t => {
  const { code, stderr } = await finished(
    twinrail(['serve', '--port', '0', '--processes', '2', '--log', 'redis://127.0.0.1:1']),
  )
  t.not(code, 0)
  t.equal(stderr.split('cannot use the Redis').length, 2, 'said once')
})
