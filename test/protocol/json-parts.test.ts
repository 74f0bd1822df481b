/** JSON from outside has a bounded number of parts. */
import t from 'tap'
import { JSON_PARTS, parseJson } from '../../src/protocol/index.ts'
import { mustHaveFewParts } from '../../src/protocol/json-parts.ts'

const many = (part: string, count: number) => `[${Array(count).fill(part).join(',')}]`

t.test('a text with too many arrays and objects is refused, whatever they are in', async t => {
  for (const part of ['{}', '[]', '{"a":[]}']) {
    const each = part.length > 2 ? 2 : 1
    const most = Math.floor((JSON_PARTS - 1) / each)
    t.equal((parseJson(many(part, most), 'thing') as unknown[]).length, most)
    t.throws(() => parseJson(many(part, most + 1), 'thing'), { code: 'bad-request' }, part)
  }
})

t.test('what stands in strings is no part', async t => {
  const text = '[{'.repeat(JSON_PARTS)
  t.equal(parseJson(JSON.stringify(text), 'thing'), text)
  for (const start of ['\\', '"', '\\"', 'x\\\\']) {
    t.same(parseJson(JSON.stringify([start + text, start]), 'thing'), [start + text, start])
  }
  t.throws(() => mustHaveFewParts(`["\\\\",${'[]'.repeat(JSON_PARTS)}]`, 'thing'), { code: 'bad-request' })
  mustHaveFewParts(`"${text}`, 'thing')
})
