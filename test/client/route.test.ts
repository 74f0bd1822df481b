/** Which transports are tried, and what is remembered for an origin. */
import t from 'tap'
import { forgetVerdicts, Route } from '../../client/connection/route.ts'
import type { Choice } from '../../client/guide.ts'

const choice: Choice = { transport: 'websocket', because: ['asked for'], fallback: ['sse', 'long-poll'] }
const origin = 'http://host'

t.beforeEach(() => forgetVerdicts())

t.test('all transports are tried until one has opened, then that one alone', async t => {
  const route = new Route(choice, origin)
  t.same(route.candidates(0), ['websocket', 'sse', 'long-poll'])
  route.opened('websocket')
  t.same(route.choice, choice, 'nothing has changed')
  t.same(route.candidates(0), ['websocket'])
  t.same(route.candidates(1), ['websocket'])
  t.same(route.candidates(2), ['websocket', 'sse', 'long-poll'], 'after two failures it is in doubt')
})

t.test('the transport that opened moves to the front, those before it to the end', async t => {
  const route = new Route(choice, origin)
  let changes = 0
  const remove = route.onChange(() => changes++)
  route.opened('sse')
  t.equal(route.transport, 'sse')
  t.same(route.candidates(5), ['sse', 'long-poll', 'websocket'])
  t.same(route.choice.because, ['asked for', 'websocket did not get through in time'])
  t.equal(changes, 1)
  remove()
  route.opened('long-poll')
  t.equal(changes, 1)
  t.same(route.candidates(5), ['long-poll', 'websocket', 'sse'])
})

t.test('a choice that changes while transports are tried stays', async t => {
  const route = new Route(
    { transport: 'sse', because: ['first'], fallback: ['websocket', 'long-poll'] },
    origin,
  )
  const [preferred] = route.candidates(0)
  route.change(choice)
  route.opened('sse', preferred)
  t.same(route.choice, choice, 'sse opened since it was tried before')
  t.same(route.candidates(0), ['websocket', 'sse', 'long-poll'], 'and websocket has not opened yet')
  t.same(new Route(choice, origin).choice, choice, 'there is no verdict')
})

t.test('the verdict holds for the origin for ten minutes', async t => {
  const began = Date.now()
  let passed = 0
  t.intercept(Date, 'now', { value: () => began + passed })
  new Route(choice, origin).opened('sse')
  const later = new Route(choice, origin)
  t.equal(later.transport, 'sse')
  t.same(later.choice.because, ['asked for', 'websocket did not get through in time'])
  t.same(later.candidates(0), ['sse', 'long-poll', 'websocket'], 'this one has not opened yet')
  t.equal(new Route(choice, 'http://other').transport, 'websocket')
  t.equal(new Route({ ...choice, fallback: [] }, origin).transport, 'websocket', 'sse is no choice here')
  passed = 10 * 60 * 1000
  t.equal(new Route(choice, origin).transport, 'sse')
  passed++
  t.equal(new Route(choice, origin).transport, 'websocket')
  passed = 0
  forgetVerdicts()
  t.equal(new Route(choice, origin).transport, 'websocket')
})

t.test('a buffered transport is replaced by its fallback', async t => {
  const route = new Route(choice, origin)
  route.opened('websocket')
  route.buffers('sse')
  t.equal(route.transport, 'websocket', 'sse is not in use')
  route.buffers('websocket')
  t.equal(route.transport, 'sse')
  t.match(route.choice.because.at(-1), /buffers websocket/)
  route.opened('websocket')
  t.equal(route.transport, 'sse', 'its first message came late')
  route.buffers('websocket')
  t.equal(route.transport, 'sse')

  const alone = new Route({ ...choice, fallback: [] }, 'http://alone')
  alone.buffers('websocket')
  t.equal(alone.transport, 'websocket', 'there is nothing else')
})

t.test('a change replaces the choice and notifies listeners', async t => {
  const route = new Route(choice, origin)
  let changes = 0
  route.onChange(() => changes++)
  const other: Choice = { transport: 'long-poll', because: ['changed'], fallback: [] }
  route.change(other)
  t.equal(route.choice, other)
  t.equal(changes, 1)
  t.equal(new Route(choice, origin).transport, 'websocket', 'it is no verdict')
})
