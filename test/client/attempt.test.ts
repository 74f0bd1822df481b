/** One attempt to connect, and the race between attempts, on streams that the test feeds. */
import t from 'tap'
import { ConnectionAttempt, raceTransports } from '../../client/connection/attempt.ts'
import type { Message, TransportRequest } from '../../client/connection/transport.ts'
import { ClientError } from '../../client/errors.ts'
import type { Transport } from '../../client/guide.ts'

const hello = { kind: 'control', control: { type: 'hello' } } as Message
const ping = { kind: 'control', control: { type: 'ping' } } as Message

/** Streams that yield, fail or end when the test says so. */
function network(signal = new AbortController().signal) {
  const opened: Transport[] = []
  const closed: Transport[] = []
  const returned: Transport[] = []
  const feeds = new Map<Transport, { resolve(): void; reject(error: unknown): void; end(): void }>()
  const open = (transport: Transport): ConnectionAttempt => {
    opened.push(transport)
    const first = new Promise<boolean>((resolve, reject) => {
      feeds.set(transport, { resolve: () => resolve(true), reject, end: () => resolve(false) })
    })
    async function* stream(request: TransportRequest): AsyncGenerator<Message, void, undefined> {
      request.signal.addEventListener('abort', () => {
        closed.push(transport)
        feeds.get(transport)?.reject(new ClientError('closed', 'aborted'))
      })
      request.onRetry(1234)
      try {
        if (!(await first)) return
        yield hello
        yield ping
      } finally {
        returned.push(transport)
      }
    }
    const request = { signal } as unknown as Omit<TransportRequest, 'onRetry'>
    return new ConnectionAttempt(transport, stream, request)
  }
  const feed = (transport: Transport) => {
    const found = feeds.get(transport)
    if (!found) throw new Error(`${transport} is not open`)
    return found
  }
  return { opened, closed, returned, open, feed }
}

const turn = () => new Promise(resolve => setImmediate(resolve))

const all: Transport[] = ['sse', 'websocket', 'long-poll']

t.test('an attempt opens at once, and gives its messages in order, the first one too', async t => {
  const { open, opened, feed, closed, returned } = network()
  const attempt = open('sse')
  t.same(opened, ['sse'])
  t.equal(attempt.transport, 'sse')
  t.ok(Math.abs(Date.now() - attempt.startedAt) < 60_000)
  feed('sse').resolve()
  await attempt.opened()
  t.equal(attempt.retryMs, 1234)
  t.same(await attempt.next(), { value: hello, done: false })
  t.same(await attempt.next(), { value: ping, done: false })
  attempt.close()
  await turn()
  t.same([closed, returned], [['sse'], ['sse']])
  t.same(await attempt.next(), { value: undefined, done: true })
})

t.test('an attempt that ends or fails before its first message did not open', async t => {
  const { open, feed } = network()
  const ended = open('sse')
  feed('sse').end()
  await t.rejects(ended.opened(), { code: 'connection-lost', retryable: true })
  const failed = open('websocket')
  feed('websocket').reject(new ClientError('silent', 'nothing came'))
  await t.rejects(failed.opened(), { code: 'silent' })
  await t.rejects(failed.next(), { code: 'silent' }, 'and whoever reads gets the same')
})

t.test('an attempt ends with the signal of its stream', async t => {
  const stop = new AbortController()
  const { open, closed } = network(stop.signal)
  open('sse')
  stop.abort()
  t.same(closed, ['sse'])
})

t.test('the first transport wins when it opens in time, and no other is tried', async t => {
  const { open, opened, closed, feed } = network()
  const winner = raceTransports(all, open, 60_000)
  feed('sse').resolve()
  t.equal((await winner).transport, 'sse')
  t.same(opened, ['sse'])
  t.same(closed, [])
})

t.test('a transport that fails hands over to the next at once', async t => {
  const { open, opened, closed, feed } = network()
  const winner = raceTransports(all, open, 60_000)
  feed('sse').reject(new ClientError('connection-lost', 'broken'))
  await turn()
  t.same(opened, ['sse', 'websocket'])
  feed('websocket').reject(new ClientError('protocol-error', 'a page of a proxy'))
  await turn()
  t.same(opened, all)
  feed('long-poll').resolve()
  t.equal((await winner).transport, 'long-poll')
  await turn()
  t.same(closed.toSorted(), ['sse', 'websocket'])
})

t.test('a silent transport is raced by the next one, and may still win', async t => {
  for (const [fast, slow] of [
    ['sse', 'websocket'],
    ['websocket', 'sse'],
  ] as const) {
    const { open, opened, closed, feed } = network()
    const winner = raceTransports(['sse', 'websocket'], open, 1)
    while (opened.length < 2) await turn()
    t.same(closed, [], 'the first goes on')
    feed(fast).resolve()
    t.equal((await winner).transport, fast)
    await turn()
    t.same(closed, [slow], 'the loser is closed')
  }
})

t.test('a failure of one that was passed over opens no further one', async t => {
  const { open, opened, feed } = network()
  const winner = raceTransports(all, open, 30)
  while (opened.length < 2) await turn()
  feed('sse').reject(new ClientError('connection-lost', 'broken'))
  await turn()
  t.same(opened, ['sse', 'websocket'], 'the next in line has its time')
  feed('websocket').resolve()
  t.equal((await winner).transport, 'websocket')
})

t.test('when all fail, the first failure is the reason', async t => {
  const { open, feed, closed } = network()
  const failed = t.rejects(raceTransports(all, open, 60_000), { message: 'failure 0' })
  for (const [i, transport] of all.entries()) {
    feed(transport).reject(new ClientError('connection-lost', `failure ${i}`))
    await turn()
  }
  await failed
  t.same(closed.toSorted(), all.toSorted())
})

t.test('a refusal of the server ends the race of transports', async t => {
  for (const refusal of [new ClientError('forbidden', 'no'), new Error('an accident')]) {
    const { open, opened, closed, feed } = network()
    const race = raceTransports(all, open, 60_000)
    feed('sse').reject(refusal)
    await t.rejects(race, refusal)
    t.same(opened, ['sse'])
    t.same(closed, ['sse'])
  }
})
