/** Workers: runs that are executed outside the server. */
import { type Check, nextOf } from '../check.ts'
import { type Statement, statement } from '../statement.ts'
import type { Message, Socket } from '../wire.ts'

const SOCKET = ['websocket'] as const
const seq = (offset = '') => Number(offset.split('-')[1])
const text = { type: 'x.step', data: 1 }
const done = { type: 'run.completed', data: { finishReason: 'stop' } }

/** The name of an agent that no other check has. */
const agentOf = ({ session }: Check) => `agent-${session}`

const schema = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] }

/** Sends a command on a socket; gives its answer, and keeps nothing that came before. */
async function ask(socket: Socket, command: { id: string } & Record<string, unknown>): Promise<Message> {
  socket.send(command)
  for (;;) {
    const { message } = await socket.inbox.next()
    if ((message.type === 'ack' || message.type === 'nack') && message.id === command.id) return message
  }
}

/** A worker with this check's agent. */
async function worker(check: Check, slots = 1, more: object = {}): Promise<Socket> {
  const socket = await check.greeted()
  const agent = { name: agentOf(check), description: 'Of a check.', input: schema, ...more }
  const answer = await ask(socket, { type: 'worker', id: 'w', slots, agents: [agent] })
  if (answer.code === 'forbidden') check.skip('the caller may not be a worker')
  check.equal(answer.type, 'ack', JSON.stringify(answer))
  return socket
}

const start = (check: Check, runId = 'r', input: unknown = { n: 1 }): Promise<Message> =>
  check.command({ type: 'run.start', agent: agentOf(check), runId, input })

/** A worker that has the run `r`. */
async function working(check: Check, more: object = {}): Promise<{ socket: Socket; work: Message }> {
  const socket = await worker(check, 1, more)
  const ack = await start(check)
  check.equal(ack.type, 'ack', JSON.stringify(ack))
  return { socket, work: await nextOf(socket, 'work') }
}

const append = (
  check: Check,
  socket: Socket,
  work: Message,
  from: number,
  events: object[],
  id = `a${from}`,
) =>
  ask(socket, {
    type: 'work.append',
    id,
    sessionId: check.session,
    workId: work['workId'],
    seq: from,
    events,
  })

async function loggedOf(check: Check): Promise<Message[]> {
  const { body } = await check.request(check.path('/events?replay=full'), {
    headers: { accept: 'application/json' },
  })
  return body.events
}

/** The log without `run.status`: a run may wait for a moment where the node that started it is not that of the worker. */
const eventsOf = async (check: Check) => (await loggedOf(check)).filter(({ type }) => type !== 'run.status')

const typesOf = async (check: Check) => (await eventsOf(check)).map(({ type }) => type)

export const workers: readonly Statement[] = [
  statement(300, '`worker` is answered with `renewMs`', SOCKET, async check => {
    const socket = await worker(check)
    const again = await ask(socket, { type: 'worker', id: 'again', slots: 1 })
    check.ok(Number(again['renewMs']) > 0, `the ack: ${JSON.stringify(again)}`)
  }),
  statement(301, 'The first `worker` of a connection needs `agents`', SOCKET, async check => {
    const socket = await check.greeted()
    const nack = await ask(socket, { type: 'worker', id: 'w', slots: 1 })
    check.equal([nack.type, nack.code], ['nack', 'bad-request'], 'the answer')
  }),
  statement(302, 'The agents of workers are listed with those of the server', SOCKET, async check => {
    await worker(check)
    const { body } = await check.request('/v1/agents')
    const found = body.agents.find(({ name }: { name: string }) => name === agentOf(check))
    check.equal([found?.description, found?.input], ['Of a check.', schema], 'description and input')
  }),
  statement(
    303,
    'A worker is given a run with its input and the offset of its start',
    SOCKET,
    async check => {
      const { work } = await working(check)
      check.equal(
        [work['sessionId'], work['runId'], work['agent'], work['input'], seq(String(work['start']))],
        [check.session, 'r', agentOf(check), { n: 1 }, 1],
        'session, run, agent, input and start',
      )
    },
  ),
  statement(
    304,
    '`work.append` appends events of the run, and answers with the first one’s offset',
    SOCKET,
    async check => {
      const { socket, work } = await working(check)
      const ack = await append(check, socket, work, 1, [text, text])
      const events = await eventsOf(check)
      check.equal([ack.type, ack.offset], ['ack', events[1]?.offset], 'the ack')
      check.equal(
        events.map(({ type, runId }) => [type, runId]),
        [
          ['run.started', 'r'],
          ['x.step', 'r'],
          ['x.step', 'r'],
        ],
        'the log',
      )
    },
  ),
  statement(305, 'A frame that comes again is acknowledged and not appended again', SOCKET, async check => {
    const { socket, work } = await working(check)
    const first = await append(check, socket, work, 1, [text, text])
    const again = await append(check, socket, work, 1, [text, text], 'again')
    check.equal([again.type, again.offset], ['ack', first.offset], 'the second ack')
    check.equal((await eventsOf(check)).length, 3, 'the number of events')
  }),
  statement(306, 'A hole in the numbers is `conflict` with `details.expected`', SOCKET, async check => {
    const { socket, work } = await working(check)
    await append(check, socket, work, 1, [text])
    const nack = await append(check, socket, work, 3, [text])
    check.equal([nack.code, nack.details?.['expected']], ['conflict', 2], 'the nack')
  }),
  statement(307, 'A refused frame appends nothing and uses up no numbers', SOCKET, async check => {
    const { socket, work } = await working(check)
    const started = { type: 'run.started', data: { agent: 'a', input: null } }
    const nack = await append(check, socket, work, 1, [text, started])
    check.equal(nack.code, 'bad-request', 'the code')
    check.equal((await append(check, socket, work, 1, [text], 'again')).type, 'ack', 'the same number again')
    check.equal(await typesOf(check), ['run.started', 'x.step'], 'the log')
  }),
  statement(308, 'A terminal event ends the run and frees the slot', SOCKET, async check => {
    const { socket, work } = await working(check)
    check.equal((await append(check, socket, work, 1, [text, done])).type, 'ack', 'the answer')
    check.equal(await typesOf(check), ['run.started', 'x.step', 'run.completed'], 'the log')
    await start(check, 'r2')
    check.equal((await nextOf(socket, 'work'))['runId'], 'r2', 'the next run')
  }),
  statement(309, 'Nothing comes after the terminal event of a frame', SOCKET, async check => {
    const { socket, work } = await working(check)
    check.equal((await append(check, socket, work, 1, [done, text])).code, 'bad-request', 'the code')
    check.equal(await typesOf(check), ['run.started'], 'the log')
  }),
  statement(
    310,
    'A run without a free slot waits, with the status `queued` and then `started`',
    SOCKET,
    async check => {
      const { socket, work } = await working(check)
      await start(check, 'r2')
      const statusOf = async () =>
        (await loggedOf(check))
          .filter(({ runId, type }) => runId === 'r2' && type === 'run.status')
          .map(({ data }) => data?.['status'])
      check.equal(await statusOf(), ['queued'], 'while it waits')
      await append(check, socket, work, 1, [done])
      check.equal((await nextOf(socket, 'work'))['runId'], 'r2', 'the run')
      check.equal(await statusOf(), ['queued', 'started'], 'once it has a worker')
    },
  ),
  statement(311, 'A worker with 0 slots is given nothing', SOCKET, async check => {
    const socket = await worker(check, 0)
    await start(check)
    socket.send({ type: 'ping', id: 'p', time: 1 })
    for (;;) {
      const { message } = await socket.inbox.next()
      check.ok(message.type !== 'work', 'it was given a run')
      if (message.type === 'pong') break
    }
    check.equal((await check.request(check.path())).body.runs[0].status, 'running', 'the status')
  }),
  statement(312, 'A cancel is told as `work-over` with the code `run-ended`', SOCKET, async check => {
    const { socket, work } = await working(check)
    await check.command({ type: 'run.cancel', runId: 'r' })
    const over = await nextOf(socket, 'work-over')
    check.equal([over['workId'], over.code], [work['workId'], 'run-ended'], 'workId and code')
    check.equal((await append(check, socket, work, 1, [text])).type, 'nack', 'a frame behind it')
  }),
  statement(313, 'An answer comes as `work-input`', SOCKET, async check => {
    const { socket, work } = await working(check)
    const question = { requestId: 'q', kind: 'question', message: '?' }
    await append(check, socket, work, 1, [{ type: 'input.requested', data: question }])
    await check.command({ type: 'input.answer', requestId: 'q', value: 7 })
    const input = await nextOf(socket, 'work-input')
    const event = input['event'] as Message
    check.equal(
      [input['workId'], event.type, event.data?.['value']],
      [work['workId'], 'input.answered', 7],
      'workId, type and value',
    )
  }),
  statement(314, 'A message to the agent comes as `work-input`', SOCKET, async check => {
    const { socket } = await working(check)
    await check.command({ type: 'input.steer', runId: 'r', text: 'faster' })
    const event = (await nextOf(socket, 'work-input'))['event'] as Message
    check.equal([event.type, event.data?.['text']], ['input.steered', 'faster'], 'type and text')
  }),
  statement(315, 'The input of a start is checked against the worker’s schema', SOCKET, async check => {
    await worker(check)
    const nack = await start(check, 'r', { n: 'one' })
    check.equal([nack.type, nack.code], ['nack', 'bad-request'], 'the answer')
  }),
  statement(316, 'With `works` a worker goes on with its runs on another connection', SOCKET, async check => {
    const { socket, work } = await working(check)
    await append(check, socket, work, 1, [text])
    socket.close()
    const next = await check.greeted()
    const agent = { name: agentOf(check), description: 'Of a check.', input: schema }
    const works = [{ workId: work['workId'], sessionId: check.session, runId: 'r', agent: agentOf(check) }]
    const ack = await ask(next, { type: 'worker', id: 'w', slots: 1, agents: [agent], works })
    check.equal(ack.type, 'ack', JSON.stringify(ack))
    check.equal((await append(check, next, work, 2, [done])).type, 'ack', 'the frame')
    check.equal(await typesOf(check), ['run.started', 'x.step', 'run.completed'], 'the log')
  }),
  statement(317, 'Work of another connection is `forbidden`', SOCKET, async check => {
    const { work } = await working(check)
    const other = await worker(check)
    check.equal((await append(check, other, work, 1, [text])).code, 'forbidden', 'the code')
  }),
  statement(318, 'Slots above 1000 and more than 100 agents are `bad-request`', SOCKET, async check => {
    const socket = await check.greeted()
    const agent = { name: agentOf(check), description: '', input: {} }
    const many = Array.from({ length: 101 }, (_, i) => ({ ...agent, name: `${agent.name}-${i}` }))
    const slots = await ask(socket, { type: 'worker', id: 'a', slots: 1001, agents: [agent] })
    check.equal(slots.code, 'bad-request', 'slots')
    const agents = await ask(socket, { type: 'worker', id: 'b', slots: 1, agents: many })
    check.equal(agents.code, 'bad-request', 'agents')
  }),
]
