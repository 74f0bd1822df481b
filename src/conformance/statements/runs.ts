/** Runs of the server's agents: how they start, and what happens when nobody watches. They need the agent `playback`. */
import { commanded, everywhere } from '../channels.ts'
import type { Check } from '../check.ts'
import { type Statement, statement } from '../statement.ts'
import { isEvent, type Message } from '../wire.ts'

const seq = (offset = '') => Number(offset.split('-')[1])

/** A start of `playback`: so many texts, so many in a second. */
async function start(check: Check, count = 3, rate = 1000, more: object = {}): Promise<Message> {
  const { body } = await check.request('/v1/agents')
  if (!body.agents?.some(({ name }: { name: string }) => name === 'playback'))
    check.skip('the server has no agent playback')
  const command = { type: 'run.start', agent: 'playback', runId: 'r', input: { count, rate } }
  return check.command({ ...command, ...more })
}

/** The run's events, once it has ended. */
async function runOf(check: Check): Promise<Message[]> {
  const { inbox } = await check.eventStream('?run=r&replay=full')
  const found: Message[] = []
  for (;;) {
    const got = await inbox.next()
    if (got.message.type === 'end') return found
    if (isEvent(got)) found.push(got.message)
  }
}

export const runs: readonly Statement[] = [
  statement(230, '`run.start` answers with runId and the offset of `run.started`', commanded, async check => {
    const ack = await start(check)
    check.equal([ack.type, ack['runId'], seq(ack.offset)], ['ack', 'r', 1], 'the ack')
    const [first] = await runOf(check)
    check.equal([first?.type, first?.offset], ['run.started', ack.offset], 'the first event')
  }),
  statement(231, 'A start without a runId gets one', commanded, async check => {
    const ack = await start(check, 1, 0, { runId: undefined })
    check.ok(typeof ack['runId'] === 'string' && ack['runId'] !== '', `the ack: ${JSON.stringify(ack)}`)
  }),
  statement(232, 'A start with the runId of a run gets the first ack again', commanded, async check => {
    const first = await start(check)
    const again = await start(check)
    check.equal([again.type, again.offset], ['ack', first.offset], 'the second ack')
    const events = await runOf(check)
    check.equal(events.filter(({ type }) => type === 'run.started').length, 1, 'the starts in the log')
  }),
  statement(233, 'With another input the runId is `conflict`', commanded, async check => {
    await start(check)
    check.equal((await start(check, 4)).code, 'conflict', 'the code')
  }),
  statement(
    234,
    'An input that does not match the agent’s schema is `bad-request`',
    commanded,
    async check => {
      const nack = await start(check, 1, 0, { input: { count: 'many', rate: 0 } })
      check.equal([nack.type, nack.code], ['nack', 'bad-request'], 'the nack')
    },
  ),
  statement(
    235,
    '`run.started` has the agent and its input, and is the run’s first event',
    everywhere,
    async check => {
      await start(check)
      const got = await (await check.follow({ run: 'r' })).until('end')
      const [first, ...others] = got.filter(isEvent).map(({ message }) => message)
      check.equal(
        [first?.type, first?.data?.['agent'], first?.data?.['input']],
        ['run.started', 'playback', { count: 3, rate: 1000 }],
        'the first event',
      )
      check.equal(others.at(-1)?.type, 'run.completed', 'the last event')
    },
  ),
  statement(236, '`onNoViewers` cancels a run that nobody watches', commanded, async check => {
    await start(check, 1000, 1, { onNoViewers: { cancelAfterMs: 0 } })
    const statusOf = async () => (await check.request(check.path())).body.runs?.[0]?.status
    check.equal(await check.until(statusOf, status => status !== 'running'), 'cancelled', 'the status')
    const { body } = await check.request(check.path('/events?last=1'), {
      headers: { accept: 'application/json' },
    })
    check.equal(
      [body.events[0]?.type, body.events[0]?.data?.reason],
      ['run.cancelled', 'no-viewers'],
      'the last event',
    )
  }),
  statement(237, '`onNoViewers` leaves a run alone that has a viewer', everywhere, async check => {
    await check.create()
    const stream = await check.follow()
    await stream.backlog()
    await start(check, 8, 10, { onNoViewers: { cancelAfterMs: 300 } })
    const got = await stream.until('run.completed')
    check.ok(!got.some(({ message }) => message.type === 'run.cancelled'), 'it was cancelled')
  }),
  statement(238, '`cancelAfterMs` above 24 h is `bad-request`', commanded, async check => {
    const nack = await start(check, 1, 0, { onNoViewers: { cancelAfterMs: 86_400_001 } })
    check.equal(nack.code, 'bad-request', 'the code')
  }),
]
