/** What has begun to arrive is bounded, and the oldest is given up. */
import { Readable } from 'node:stream'
import t from 'tap'
import { Arriving } from '../../src/http/arriving.ts'
import { readBody } from '../../src/http/bodies.ts'

/** A holder that notes that it was given up. */
const holder = () => ({
  given: false,
  giveUp() {
    this.given = true
  },
})

t.test('the oldest is given up until the others fit', async t => {
  const arriving = new Arriving(100)
  const [first, second, third] = [holder(), holder(), holder()]
  arriving.set(first, 40)
  arriving.set(second, 40)
  arriving.set(first, 60)
  t.equal(arriving.bytes, 100)
  t.notOk(first.given)
  arriving.set(third, 90)
  t.ok(first.given && second.given)
  t.notOk(third.given)
  t.equal(arriving.bytes, 90)
})

t.test('what is complete takes nothing, and begins anew as the youngest', async t => {
  const arriving = new Arriving(100)
  const [first, second] = [holder(), holder()]
  arriving.set(first, 50)
  arriving.set(second, 50)
  arriving.set(first, 0)
  arriving.set(first, 50)
  arriving.set(second, 60)
  t.ok(second.given)
  t.notOk(first.given)
  arriving.set(first, 101)
  t.ok(first.given, 'one alone is bounded, too')
  t.equal(arriving.bytes, 0)
})

t.test('a body that is given up is refused, and one that is complete or refused holds nothing', async t => {
  const arriving = new Arriving(100)
  const body = () => new Readable({ read() {} })
  const [slow, quick, large] = [body(), body(), body()]
  const refused = t.rejects(readBody(slow, 1000, 60_000, arriving), {
    code: 'rate-limited',
    retryAfterMs: 1000,
  })
  slow.push('x'.repeat(60))
  const read = readBody(quick, 1000, 60_000, arriving)
  quick.push('y'.repeat(60))
  await refused
  t.equal(arriving.bytes, 60)
  quick.push(null)
  t.equal((await read).take(String), 'y'.repeat(60))
  t.equal(arriving.bytes, 0)
  const tooLarge = t.rejects(readBody(large, 50, 60_000, arriving), { code: 'too-large' })
  large.push('z'.repeat(60))
  await tooLarge
  t.equal(arriving.bytes, 0)
})
