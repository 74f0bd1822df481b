/** An agent that takes what users said when it wants to, instead of waiting for it. */
import t from 'tap'
import { z } from 'zod'
import { defineAgent } from '../../src/agents/agent.ts'
import { command, eventually, logged, parse, serve, startRun, terminalOf } from '../fixtures/wire-server.ts'

t.test('an agent takes all that was said since it last took', async t => {
  const taken: string[][] = []
  const gates: (() => void)[] = []
  const takes = defineAgent({
    name: 'takes',
    description: 'Takes what was said, three times',
    input: z.object({}),
    async *run(_, { steering }) {
      for (let time = 0; time < 3; time++) {
        await new Promise<void>(resolve => gates.push(resolve))
        taken.push((await steering.take()).map(({ text }) => text))
        yield { type: 'x.took', data: time }
      }
    },
  })
  const wire = await serve(t, { agents: [takes] })
  const { url } = wire
  const runId = await startRun(url, 's', 'takes', {})
  const open = async () => {
    await eventually(t, 'it waits', async () => gates.length > 0)
    gates.pop()?.()
  }
  await open()
  await eventually(t, 'it has taken nothing', async () => taken.length === 1)
  for (const text of ['a', 'b']) {
    t.equal((await command(url, 's', { type: 'input.steer', runId, text })).status, 200)
  }
  await open()
  await eventually(t, 'it has taken what was said', async () => taken.length === 2)
  await open()
  await terminalOf(url, 's', runId)
  t.same(taken, [[], ['a', 'b'], []])

  const events = (await logged(wire, 's')).map(parse)
  const idsOf = (type: string) =>
    events.filter(event => event.type === type).map(({ data }) => (data as { inputId: string }).inputId)
  t.equal(idsOf('input.steered').length, 2)
  t.same(idsOf('input.applied'), idsOf('input.steered'), 'the log says what was taken')
})
