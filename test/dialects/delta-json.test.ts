import t from 'tap'
import { AgUiEncoder } from '../../src/dialects/ag-ui/stream.ts'
import { UiMessageEncoder } from '../../src/dialects/ai-sdk/stream.ts'
import type { StreamEncoder } from '../../src/dialects/dialect.ts'
import {
  AgentResponseEncoder,
  EnvelopeEncoder,
  PrinterEncoder,
  SearchEncoder,
  ToolServiceEncoder,
} from '../../src/dialects/genie/stream.ts'
import { jsonForm } from '../../src/dialects/json-form.ts'
import { CompletionEncoder, ResponseEncoder } from '../../src/dialects/openai/stream.ts'
import type { TwinrailEvent } from '../../src/protocol/index.ts'

const names = { id: 'resp_1', model: 'm', sessionId: 's', runId: 'r' }
const request = { requestId: 'q"1', query: 'a "b"\u2028', agentType: 5, runId: 'r' }

const encoders: Record<string, () => StreamEncoder> = {
  'ai-sdk': () => new UiMessageEncoder('v7'),
  'ag-ui': () => new AgUiEncoder('thread', 'run'),
  'openai responses': () => new ResponseEncoder(names),
  'openai chat': () => new CompletionEncoder(names, false),
  'genie page': () => new EnvelopeEncoder(request),
  'genie gateway': () => new AgentResponseEncoder(request),
  'genie gateway, as printed': () => new PrinterEncoder(request, 'react'),
  'genie tool': () => new ToolServiceEncoder(request),
  'genie tool, as printed': () => new SearchEncoder(request),
}

/** Texts that JSON escapes, and one that looks like JSON. */
const texts = ['w1 ', '"', '\\', '\n\u2028\u0000', 'é😀', '\ud800', '","delta":"x"}']

/** The events of a text of two parts whose ids are to be escaped, too. */
function events(): TwinrailEvent[] {
  const bodies = ['t', 'q"\\'].flatMap(partId => [
    { type: 'text.start', data: { partId } },
    ...texts.map(delta => ({ type: 'text.delta', data: { partId, delta } })),
    { type: 'text.end', data: { partId } },
  ])
  return [{ type: 'run.started', data: { agent: 'a', input: null } }, ...bodies].map(
    (body, i) =>
      ({ offset: `1-${i + 1}`, sessionId: 's', runId: 'r', time: 1000 + i, ...body }) as TwinrailEvent,
  )
}

for (const [name, make] of Object.entries(encoders)) {
  t.test(`${name}: the JSON of a delta is what stringify makes of it, and holds its text`, async t => {
    const encoder = make()
    let deltas = 0
    const faults: string[] = []
    for (const event of events()) {
      const frames = encoder.event(event).map(({ data = '' }) => data)
      faults.push(...frames.filter(data => data !== JSON.stringify(JSON.parse(data))))
      if (event.type !== 'text.delta') continue
      deltas++
      // The messages of a search have its sources before the first delta.
      const said = frames.at(-1) ?? ''
      if (!said.includes(JSON.stringify(event.data.delta))) faults.push(said)
      const isTimed = name === 'genie page' || name === 'genie gateway'
      if (isTimed && !said.includes(`"${event.time}"`)) faults.push(said)
    }
    t.strictSame(faults, [])
    t.equal(deltas, 2 * texts.length)
  })
}

t.test('the parts of a text on the page are numbered through', async t => {
  const encoder = new EnvelopeEncoder(request)
  const frames = events().flatMap(event => encoder.event(event))
  const data = frames.map(frame => JSON.parse(frame.data ?? '').resultMap.eventData)
  t.strictSame(
    data.map(({ messageOrder, taskOrder }) => [messageOrder, taskOrder]),
    data.map((_, i) => [i + 1, i + 1]),
  )
  t.equal(data.length, 2 * (texts.length + 1))
})

t.test('a form fills its values in, in their order', async t => {
  const form = jsonForm((a, b) => ({ first: a, between: ['x', { y: null }], last: b }))
  t.equal(form(1, 'two "2"'), '{"first":1,"between":["x",{"y":null}],"last":"two \\"2\\""}')
  t.equal(form(null, { three: 3 }), '{"first":null,"between":["x",{"y":null}],"last":{"three":3}}')
})
