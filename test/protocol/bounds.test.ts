/** Everything that a schema at the door takes is bounded: no list, object or text of any length is checked. */
import t from 'tap'
import type { z } from 'zod'
import { ChatInput } from '../../src/agents/ai-sdk/conversation.ts'
import { DeepsearchInput } from '../../src/agents/deepsearch/research.ts'
import { PlaybackInput } from '../../src/agents/playback.ts'
import { GuideQuery } from '../../src/guide/index.ts'
import {
  Command,
  CommandBody,
  EventBodySchema,
  EventsQuery,
  entryOf,
  parseEventBody,
  SubscriptionQuery,
} from '../../src/protocol/index.ts'
import { ProducerQuery } from '../../src/routes/events.ts'
import { CreateSession, ListQuery } from '../../src/routes/sessions.ts'

/** What requests are checked against; a new door belongs here. */
const doors = {
  Command,
  CommandBody,
  EventBodySchema,
  EventsQuery,
  GuideQuery,
  SubscriptionQuery,
  CreateSession,
  ListQuery,
  ProducerQuery,
  PlaybackInput,
  DeepsearchInput,
  ChatInput,
}

/** The largest list whose entries are checked one by one. */
const MAX_ENTRIES = 10_000

interface Def {
  type: string
  checks?: { _zod: { def: { check: string; maximum?: number } } }[]
  shape?: Record<string, Schema>
  element?: Schema
  keyType?: Schema
  valueType?: Schema
  innerType?: Schema
  options?: Schema[]
  parts?: unknown[]
  in?: Schema
  out?: Schema
  catchall?: Schema
}

interface Schema {
  _zod: { def: Def }
  meta?: () => { maxProperties?: number } | undefined
}

/** Places within a schema where something has no bound. */
function unbounded(schema: Schema, path: string): string[] {
  const { def } = schema._zod
  const maximum = def.checks?.find(({ _zod }) => _zod.def.check === 'max_length')?._zod.def.maximum
  const inner = (one: Schema | undefined, name = ''): string[] =>
    one ? unbounded(one, `${path}${name}`) : []
  switch (def.type) {
    case 'string':
      return maximum === undefined ? [`${path}: a text of any length`] : []
    case 'array':
      return [
        ...(maximum === undefined || maximum > MAX_ENTRIES ? [`${path}: a list of any length`] : []),
        ...inner(def.element, '[]'),
      ]
    case 'record':
      return [
        ...(schema.meta?.()?.maxProperties === undefined ? [`${path}: an object of any size`] : []),
        ...inner(def.keyType, '{}'),
        ...inner(def.valueType, '{}'),
      ]
    case 'object':
      return [
        ...Object.entries(def.shape ?? {}).flatMap(([name, one]) => inner(one, `.${name}`)),
        ...inner(def.catchall),
      ]
    case 'union':
      return (def.options ?? []).flatMap(one => inner(one))
    case 'optional':
    case 'default':
    case 'nullable':
      return inner(def.innerType)
    case 'pipe': {
      const entry = entryOf(schema as unknown as z.ZodType) as unknown as Schema | undefined
      return entry ? [...inner(def.in), ...inner(entry, '[]')] : [...inner(def.in), ...inner(def.out)]
    }
    case 'template_literal':
      return (def.parts ?? []).flatMap(part => (typeof part === 'object' ? inner(part as Schema) : []))
    case 'literal':
    case 'enum':
    case 'boolean':
    case 'number':
    case 'unknown':
    case 'transform':
      return []
    default:
      return [`${path}: ${def.type} is not known to this test`]
  }
}

for (const [name, schema] of Object.entries(doors)) {
  t.test(`${name} has a maximum for every text, list and object`, async t => {
    t.same(unbounded(schema as z.ZodType as unknown as Schema, name), [])
  })
}

t.test('a list that is too long is refused before its entries are checked', async t => {
  const steps = Array.from({ length: 100_000 }, () => ({}))
  try {
    parseEventBody({ type: 'plan.updated', data: { steps } })
    t.fail('it was accepted')
  } catch (error) {
    t.match(error, { code: 'bad-request', details: { path: 'data.steps' } })
  }
})
