/** All doors for JSON take the same values unchanged, and refuse the same ones with the same reason. */
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { z } from 'zod'
import { defineAgent } from '../../src/agents/agent.ts'
import type { EventBody } from '../../src/protocol/index.ts'
import { eventsIn, sealed } from '../fixtures/archive.ts'
import { openWs } from '../fixtures/wire-clients.ts'
import { ask, json, ndjson, post } from '../fixtures/wire-refusals.ts'
import { logged, serve, startRun, terminalOf } from '../fixtures/wire-server.ts'

/** Why a door refused the JSON, or the `data` that it let into the log; without the place, which each door names. */
type Outcome = { refused: string } | { data: string }

type Door = (data: string | Buffer) => Promise<Outcome>

const bytes = (before: string, data: string | Buffer, after: string) =>
  Buffer.concat([Buffer.from(before), Buffer.from(data), Buffer.from(after)])

/** The reason of a refusal: what stands behind the names of the places. */
const reason = (message = '') => message.replace(/^.*: /s, '').replace(/^the (body|line) is /, '')

/** Yields an event with the parsed text as its data. */
const parses = defineAgent({
  name: 'parses',
  description: 'Yields what it parses',
  input: z.object({ text: z.string() }),
  async *run({ text }) {
    yield { type: 'x.a', data: JSON.parse(text) } as EventBody
  },
})

async function doors(t: Test) {
  const wire = await serve(t, { agents: [parses] })
  const { url } = wire
  let count = 0
  const socket = await openWs(t, url)
  await socket.nextOf('hello')
  /** The outcome of a request, by what it left in its session. */
  const after = async (sessionId: string, message: string | undefined): Promise<Outcome> => {
    if (message !== undefined) return { refused: reason(message) }
    const text = (await logged(wire, sessionId)).find(text => text.includes('"type":"x.a"')) ?? ''
    return { data: text.slice(text.indexOf('"data":') + 7, -1) }
  }
  const posted = async (path: string, body: Buffer, type = json) => {
    const sessionId = `s${++count}`
    const { status, body: answer } = await ask(url, post(body, `/v1/sessions/${sessionId}/${path}`, type))
    return after(sessionId, status === 200 ? undefined : (answer.error ?? answer).message)
  }
  const texts: Record<string, Door> = {
    'ingest of one event': data => posted('events', bytes('{"type":"x.a","data":', data, '}')),
    'ingest of an array': data => posted('events', bytes('[{"type":"x.a","data":', data, '}]')),
    NDJSON: data => posted('events', bytes('{"type":"x.a","data":', data, '}\n'), ndjson),
    'a command by POST': data =>
      posted('commands', bytes('{"id":"1","type":"publish","event":{"type":"x.a","data":', data, '}}')),
  }
  const strings: Record<string, Door> = {
    'a command by WebSocket': async data => {
      const sessionId = `s${++count}`
      const event = `{"type":"x.a","data":${data}}`
      socket.send(`{"id":"w${count}","type":"publish","sessionId":"${sessionId}","event":${event}}`)
      const { message } = (await socket.until(({ message }) => message['id'] === `w${count}`)).at(-1)!
      return after(sessionId, message.type === 'ack' ? undefined : message.message)
    },
  }
  /** They get values, or what the server wrote, where integers have lost nothing any more. */
  const values: Record<string, Door> = {
    'the yield of an agent': async data => {
      const sessionId = `s${++count}`
      const runId = await startRun(url, sessionId, 'parses', { text: String(data) })
      const end = await terminalOf(url, sessionId, runId)
      const failed = end.type === 'run.failed' ? (end.data as { message: string }).message : undefined
      return after(sessionId, failed)
    },
    'an archive': async data => {
      const header = { format: 'twinrail', version: 1, exportedAt: 1, source: 'log' }
      const session = {
        sessionId: 's',
        createdAt: 1,
        activeAt: 1,
        metadata: {},
        head: '1-1',
        earliest: '1-1',
      }
      const event = `{"offset":"1-1","sessionId":"s","type":"x.a","time":1,"data":${data}}`
      const lines = [JSON.stringify(header), JSON.stringify({ session }), event]
      const file = await sealed(lines, { sessions: 1, events: 1 })
      try {
        return { data: JSON.stringify((await eventsIn(file))[0]?.data) }
      } catch (error) {
        return { refused: reason((error as Error).message.replace(/; export again.*/, '')) }
      }
    },
  }
  return { texts, strings, values }
}

t.test('each value has the same outcome at every door', async t => {
  const { texts, strings, values } = await doors(t)
  const everywhere: Record<string, RegExp> = {
    '{"__proto__":{"polluted":1}}': /^the names __proto__/,
    '[{"a":{"__proto__":null}}]': /^the names __proto__/,
    '{"constructor":{"prototype":{}}}': /^the names __proto__/,
    '1e400': /^a number beyond ±1.8e308/,
    '[-1e400]': /^a number beyond ±1.8e308/,
    '"\\ud83d"': /^half a character/,
    '{"a":["x","y\\ude00"]}': /^half a character/,
    '{"\\ud83d":1}': /^half a character/,
    [`${'['.repeat(600)}${']'.repeat(600)}`]: /^nested more than 500 deep/,
  }
  for (const [data, why] of Object.entries(everywhere)) {
    for (const [name, door] of Object.entries({ ...texts, ...strings, ...values })) {
      t.match(await door(data), { refused: why }, `${name}: ${data.slice(0, 40)}`)
    }
  }
  const asText: Record<string, RegExp> = {
    '9007199254740993': /^an integer beyond/,
    '{"id":-123456789012345678901234567890}': /^an integer beyond/,
  }
  for (const [data, why] of Object.entries(asText)) {
    for (const [name, door] of Object.entries({ ...texts, ...strings })) {
      t.match(await door(data), { refused: why }, `${name}: ${data}`)
    }
  }
  const bad = [Buffer.from('22ff22', 'hex'), Buffer.from('22e6bc22', 'hex'), Buffer.from('22eda0bd22', 'hex')]
  for (const data of bad) {
    for (const [name, door] of Object.entries(texts)) {
      t.match(await door(data), { refused: 'not UTF-8' }, `${name}: bytes ${data.toString('hex')}`)
    }
  }
  const taken = [
    '{"constructor":"Foo","prototype":{"a":1},"toString":2}',
    '0.1234567890123456789',
    '[9007199254740991,-9007199254740991,6.02214076e+23]',
    '"\\ud83d\\ude00 漢字 \\u2028"',
    '{"id":"9007199254740993"}',
  ]
  for (const data of taken) {
    const wanted = { data: JSON.stringify(JSON.parse(data)) }
    for (const [name, door] of Object.entries({ ...texts, ...strings, ...values })) {
      t.strictSame(await door(data), wanted, `${name}: ${data}`)
    }
  }
})

t.test('any value is let in unchanged at every door, or refused at every door with one reason', async t => {
  const { texts, strings, values } = await doors(t)
  const name = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('__proto__', 'constructor', 'prototype'),
  )
  const { value } = fc.letrec(tie => ({
    value: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.oneof(
        fc.constantFrom('1e400', '"\\ud83d"', '"\\ude00x"', 'null', 'true', '1.5e3', '0.1234567890123456789'),
        fc.string({ unit: 'binary' }).map(text => JSON.stringify(text)),
        fc.bigInt({ min: -(2n ** 54n), max: 2n ** 54n }).map(String),
        fc.double({ noNaN: true, noDefaultInfinity: true }).map(number => JSON.stringify(number)),
      ),
      fc.array(tie('value'), { maxLength: 3 }).map(parts => `[${parts.join(',')}]`),
      fc
        .array(fc.tuple(name, tie('value')), { maxLength: 3 })
        .map(parts => `{${parts.map(([name, part]) => `${JSON.stringify(name)}:${part}`).join(',')}}`),
    ),
  })) as { value: fc.Arbitrary<string> }
  const outcomes: string[] = []
  await fc.assert(
    fc.asyncProperty(value, async json => {
      const all = { ...texts, ...strings }
      const told = await Promise.all(Object.values(all).map(door => door(json)))
      const [first] = told as [Outcome]
      for (const outcome of told) t.strictSame(outcome, first, json, { quiet: true })
      if ('data' in first && JSON.stringify(JSON.parse(json)) !== first.data) return false
      const isInteger = 'refused' in first && first.refused.startsWith('an integer')
      outcomes.push('data' in first ? 'taken' : first.refused)
      if (isInteger) return true
      for (const door of Object.values(values)) {
        if (JSON.stringify(await door(json)) !== JSON.stringify(first)) return false
      }
      return new Set(told.map(one => JSON.stringify(one))).size === 1
    }),
    { numRuns: 150 },
  )
  t.ok(new Set(outcomes).size >= 4, `outcomes: ${[...new Set(outcomes)].join(' | ')}`)
})
