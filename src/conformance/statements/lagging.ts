/** Clients that fall behind. A window that is not raised makes a client slow, however fast its connection is. */
import type { Check } from '../check.ts'
import { nextOf } from '../check.ts'
import { type Statement, statement } from '../statement.ts'
import type { Message, Socket } from '../wire.ts'

const SOCKET = ['websocket'] as const
const event = (n: number) => ({ type: 'x.n', data: { n } })
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => event(from + i))
const numberOf = ({ data }: Message) => data?.['n']

/** A subscription that takes one event and then no more. */
async function slow(check: Check, options: object): Promise<Socket> {
  await check.create()
  const socket = await check.greeted()
  socket.send({ type: 'subscribe', id: 's', sessionId: check.session, windowBytes: 1, ...options })
  const { message } = await socket.inbox.next()
  if (message.type === 'nack') {
    if (message.code === 'forbidden') check.skip('the caller lacks the right subscribe:wait')
    throw new Error(`${message.code}: ${message.message}`)
  }
  await nextOf(socket, 'caught-up')
  await check.ingest(event(1))
  check.equal(numberOf(await nextOf(socket, 'x.n')), 1, 'the first event')
  return socket
}

/** Says that everything up to the offset is consumed. */
const consumed = (socket: Socket, sessionId: string, offset: string | undefined) =>
  socket.send({ type: 'window', sessionId, offset })

export const lagging: readonly Statement[] = [
  statement(250, '`disconnect` ends a client at the limit: `closing` and close 4431', SOCKET, async check => {
    const socket = await slow(check, { lag: 'disconnect', lagEvents: 5 })
    await check.ingest(numbers(2, 20))
    const closing = await nextOf(socket, 'closing')
    check.equal(closing.code, 'too-slow', 'the code')
    check.equal(await socket.closed, 4431, 'the close code')
  }),
  statement(251, '`skip` jumps to the newest event and tells the gap', SOCKET, async check => {
    const socket = await slow(check, { lag: 'skip', lagEvents: 5 })
    const first = await check.ingest(numbers(2, 20))
    const [epoch, second] = first.split('-')
    consumed(socket, check.session, `${epoch}-1`)
    const gap = await nextOf(socket, 'gap')
    check.equal([gap.reason, gap['sessionId']], ['skipped', check.session], 'reason and session')
    check.ok(Number(String(gap['from']).split('-')[1]) >= Number(second), `it begins at ${gap['from']}`)
    check.ok(Number(String(gap['to']).split('-')[1]) < 20, `it covers the newest event: ${gap['to']}`)
    for (;;) {
      const message = await nextOf(socket, 'x.n')
      if (numberOf(message) === 20) return
      consumed(socket, check.session, message.offset)
    }
  }),
  statement(252, '`skip` leaves out no terminal event and no question', SOCKET, async check => {
    const socket = await slow(check, { lag: 'skip', lagEvents: 5 })
    await check.ingest([
      ...numbers(2, 9),
      { type: 'run.started', runId: 'r', data: { agent: 'conformance', input: null } },
      { type: 'input.requested', runId: 'r', data: { requestId: 'q', kind: 'question', message: '?' } },
      ...numbers(10, 19),
      { type: 'run.completed', runId: 'r', data: {} },
      ...numbers(20, 29),
    ])
    const types = new Set<string>()
    let offset = `${(await check.request(check.path())).body.head.split('-')[0]}-1`
    for (;;) {
      consumed(socket, check.session, offset)
      const { message } = await socket.inbox.next()
      types.add(message.type)
      if (message.offset !== undefined && message.type.includes('.')) offset = message.offset
      if (numberOf(message) === 29) break
    }
    for (const type of ['input.requested', 'run.completed']) check.ok(types.has(type), `${type} did not come`)
  }),
  statement(253, '`conflate` leaves out nothing', SOCKET, async check => {
    const socket = await slow(check, { lag: 'conflate', lagEvents: 5, replay: 'full' })
    const first = await check.ingest(numbers(2, 40))
    let offset = `${first.split('-')[0]}-1`
    for (let n = 2; n <= 40; n++) {
      consumed(socket, check.session, offset)
      const message = await nextOf(socket, 'x.n')
      check.equal(numberOf(message), n, 'the number of the event')
      offset = message.offset as string
    }
  }),
  statement(254, 'With `wait` ingest waits for a slow client', SOCKET, async check => {
    const socket = await slow(check, { lag: 'wait', lagEvents: 10 })
    const first = await check.ingest(numbers(2, 4))
    const epoch = first.split('-')[0]
    let isDone = false
    const ingests = (async () => {
      for (let n = 5; n <= 30; n++) await check.ingest(event(n))
      isDone = true
    })()
    ingests.catch(() => {})
    const headOf = async () => Number((await check.request(check.path())).body.head.split('-')[1])
    await check.until(headOf, head => head >= 9)
    // Enough round trips for all 26, if nothing held them.
    for (let i = 0; i < 60; i++) await headOf()
    check.ok(!isDone, 'the ingest did not wait')
    for (let seq = 1; !isDone; seq++) {
      consumed(socket, check.session, `${epoch}-${Math.min(seq, await headOf())}`)
    }
    await ingests
  }),
  statement(255, 'With `wait` commands do not wait', SOCKET, async check => {
    await slow(check, { lag: 'wait', lagEvents: 10 })
    for (let n = 0; n < 30; n++) {
      const ack = await check.command({ type: 'publish', event: { type: 'x.a', data: n } })
      check.equal(ack.type, 'ack', JSON.stringify(ack))
    }
  }),
]
