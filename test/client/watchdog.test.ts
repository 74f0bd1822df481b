/** Waiting for the network within bounds, and the small parts of a connection that need no network. */
import { getEventListeners } from 'node:events'
import t, { type Test } from 'tap'
import { LinkedAbortController } from '../../client/connection/linked-abort.ts'
import { type FollowStatus, StatusTracker } from '../../client/connection/status.ts'
import {
  endOf,
  endpoint,
  eventsUrl,
  expectType,
  parseMessage,
  type TransportRequest,
} from '../../client/connection/transport.ts'
import { onWake, silent, Watchdog } from '../../client/connection/watchdog.ts'
import { ClientError } from '../../client/errors.ts'

const never = new Promise<never>(() => {})

t.test('a wait settles like the network’s promise, and leaves no timer', async t => {
  const timers = () => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const before = timers()
  t.equal(await new Watchdog(undefined).wait(Promise.resolve(7)), 7)
  await t.rejects(new Watchdog(undefined).wait(Promise.reject(new Error('x'))))
  t.equal(timers(), before)
})

t.test('a wait for too long is silent', async t => {
  await t.rejects(new Watchdog(undefined).wait(never, 5), { code: 'silent', retryable: true })
  await t.rejects(new Watchdog(2).wait(never), { code: 'silent' }, 'two and a half heartbeats')
  t.match(silent(2449.7).message, /for 2.45 s$/)
})

t.test('the longer of both heartbeats counts', async t => {
  const hello = (heartbeatMs: number) =>
    ({ kind: 'control', control: { type: 'hello', heartbeatMs } }) as never
  const patient = new Watchdog(2)
  patient.learn(hello(60_000))
  let over = false
  const waiting = patient.wait(new Promise(resolve => setTimeout(resolve, 50))).then(() => {
    over = true
  })
  await waiting
  t.ok(over, 'the server said a minute')

  const asked = new Watchdog(60_000)
  asked.learn(hello(1))
  await asked.wait(new Promise(resolve => setTimeout(resolve, 20)))

  const own = new Watchdog(undefined)
  own.learn(hello(1))
  own.learn({ kind: 'control', control: { type: 'ping', heartbeatMs: 60_000 } } as never)
  own.learn({ kind: 'event', event: { type: 'hello', heartbeatMs: 60_000 } } as never)
  await t.rejects(own.wait(never), { code: 'silent' }, 'only hello says it')
})

t.test('a failure of the network is a lost connection with its reason', async t => {
  const failed = (error: unknown) => new Watchdog(undefined).wait(Promise.reject(error))
  const code = 'connection-lost'
  const cause = new Error('fetch failed', { cause: { code: 'ECONNREFUSED', message: 'no one there' } })
  await t.rejects(failed(cause), { code, message: 'no one there', cause })
  await t.rejects(failed(new Error('fetch failed', { cause: { code: 'ECONNREFUSED' } })), {
    message: 'ECONNREFUSED',
  })
  await t.rejects(failed(new Error('fetch failed')), { code, message: 'fetch failed' })
  await t.rejects(failed('text'), { code, message: 'text' })
  const own = new ClientError('forbidden', 'no')
  await t.rejects(failed(own), own, 'the client’s own errors stay as they are')
})

/** Gives this process the events of a page. */
function page(t: Test) {
  const [window, document] = [
    new EventTarget(),
    new EventTarget() as EventTarget & { visibilityState: string },
  ]
  document.visibilityState = 'visible'
  const added = {
    addEventListener: window.addEventListener.bind(window),
    removeEventListener: window.removeEventListener.bind(window),
    document,
  }
  Object.assign(globalThis, added)
  t.teardown(() => {
    for (const name of Object.keys(added)) delete (globalThis as Record<string, unknown>)[name]
  })
  return { window, document }
}

t.test('a page wakes when it is online, shown again or visible; a hidden one does not', async t => {
  onWake(() => t.fail('there is no page'))()
  const { window, document } = page(t)
  let woken = 0
  const remove = onWake(() => woken++)
  window.dispatchEvent(new Event('online'))
  window.dispatchEvent(new Event('pageshow'))
  document.dispatchEvent(new Event('visibilitychange'))
  t.equal(woken, 3)
  document.visibilityState = 'hidden'
  document.dispatchEvent(new Event('visibilitychange'))
  window.dispatchEvent(new Event('online'))
  t.equal(woken, 3)
  document.visibilityState = 'visible'
  remove()
  window.dispatchEvent(new Event('online'))
  window.dispatchEvent(new Event('pageshow'))
  document.dispatchEvent(new Event('visibilitychange'))
  t.equal(woken, 3)
})

t.test('on waking, a connection that was silent for more than a heartbeat is given up', async t => {
  const { window } = page(t)
  const now = Date.now()
  let passed = 0
  t.intercept(Date, 'now', { value: () => now + passed })
  const wait = (ms: number) => {
    passed = 0
    const waiting = new Watchdog(10_000).wait(never)
    passed = ms
    window.dispatchEvent(new Event('online'))
    return waiting
  }
  await t.rejects(wait(12_001), { code: 'silent', message: /for 12.001 s$/ })
  const pending = wait(12_000)
  const first = await Promise.race([
    pending.catch(() => 'given up'),
    new Promise(resolve => setImmediate(resolve, 'waits')),
  ])
  t.equal(first, 'waits', 'one heartbeat and a fifth is allowed')
  passed = 13_000
  window.dispatchEvent(new Event('online'))
  await t.rejects(pending, { code: 'silent' })
})

t.test('a linked controller aborts with its parents, and leaves nothing on them', async t => {
  const [one, two] = [new AbortController(), new AbortController()]
  const listeners = () => getEventListeners(one.signal, 'abort').length
  const linked = new LinkedAbortController(one.signal, undefined, two.signal)
  t.notOk(linked.signal.aborted)
  const others = Array.from({ length: 5 }, () => new LinkedAbortController(one.signal))
  t.equal(listeners(), 1, 'one listener for all')
  others[0]?.abort('mine')
  t.equal(others[0]?.signal.reason, 'mine')
  t.notOk(one.signal.aborted)
  two.abort('two')
  t.equal(linked.signal.reason, 'two')
  one.abort('one')
  t.same(
    others.map(({ signal }) => signal.reason),
    ['mine', 'one', 'one', 'one', 'one'],
  )
  t.equal(linked.signal.reason, 'two')
  t.equal(
    new LinkedAbortController(undefined, one.signal, two.signal).signal.reason,
    'one',
    'also afterwards',
  )
})

t.test('the status is reported at each change', async t => {
  const told: FollowStatus[] = []
  const tracker = new StatusTracker('sse', status => told.push(status))
  const error = new Error('broken')
  tracker.connecting()
  tracker.open('websocket')
  tracker.received(10)
  tracker.waiting(500, error)
  tracker.connecting()
  tracker.open('websocket')
  tracker.received(5)
  tracker.closed()
  tracker.closed(error)
  t.same(told, [
    { transport: 'sse', attempts: 1, bytes: 0, state: 'connecting' },
    { transport: 'websocket', attempts: 1, bytes: 0, state: 'open' },
    { transport: 'websocket', attempts: 1, bytes: 10, state: 'open' },
    { transport: 'websocket', attempts: 1, bytes: 10, state: 'waiting', retryInMs: 500, error },
    { transport: 'websocket', attempts: 2, bytes: 10, state: 'connecting' },
    { transport: 'websocket', attempts: 2, bytes: 10, state: 'open' },
    { transport: 'websocket', attempts: 2, bytes: 15, state: 'open' },
    { transport: 'websocket', attempts: 2, bytes: 15, state: 'closed' },
    { transport: 'websocket', attempts: 2, bytes: 15, state: 'closed', error },
  ])
  new StatusTracker('sse', undefined).connecting()
})

t.test('a message is an event when its type has a dot', async t => {
  t.match(parseMessage('{"type":"run.started"}'), { kind: 'event', json: '{"type":"run.started"}' })
  t.same(parseMessage('{"type":"ping","time":1}'), { kind: 'control', control: { type: 'ping', time: 1 } })
  for (const wrong of ['<html>', 'null', '1', '{}', '{"type":1}']) {
    t.throws(() => parseMessage(wrong), { code: 'protocol-error' }, wrong)
  }
})

t.test('addresses are below the path of the server, and have the given parameters only', async t => {
  t.equal(
    endpoint('http://host/base/', 'sessions', { a: 1, b: undefined }).href,
    'http://host/base/v1/sessions?a=1',
  )
  t.equal(endpoint('http://host', 'x').href, 'http://host/v1/x')
  const start = { after: undefined, run: 'r', last: 0 }
  const request = { url: 'http://host', sessionId: 'a/b c', start } as unknown as TransportRequest
  t.equal(
    eventsUrl(request, { wait: 5 }).href,
    'http://host/v1/sessions/a%2Fb%20c/events?run=r&last=0&wait=5',
  )
  t.same(endOf(request), {
    kind: 'control',
    control: { type: 'end', sessionId: 'a/b c', runId: 'r', reason: 'run-ended' },
  })
  t.notMatch(endOf({ ...request, start: {} }), { control: { runId: 'r' } })
})

t.test('a response of another type is not a server’s', async t => {
  const response = (type?: string) => new Response('', type ? { headers: { 'content-type': type } } : {})
  expectType(response('Text/Event-Stream ; charset=utf-8'), 'text/event-stream')
  t.throws(() => expectType(response('text/html'), 'text/event-stream'), {
    code: 'protocol-error',
    message: /text\/html, expected text\/event-stream/,
  })
  const untyped = new Response(null)
  t.throws(() => expectType(untyped, 'application/json'), { message: /no content type/ })
})
