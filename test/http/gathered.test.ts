/** Bytes that arrive in pieces are gathered in memory of their own. */
import fc from 'fast-check'
import t from 'tap'
import { Gathered } from '../../src/http/gathered.ts'
import { seedOf } from '../../src/log/contract/random.ts'

t.test('what is taken is what was added, and takes at most twice its bytes', async t => {
  const property = fc.property(fc.array(fc.uint8Array({ maxLength: 300 })), pieces => {
    const gathered = new Gathered(10_000)
    for (const piece of pieces) {
      gathered.add(Buffer.from(piece))
      if (gathered.capacity > 2 * gathered.length || gathered.capacity > 10_000) {
        throw new Error(`${gathered.capacity} bytes for ${gathered.length}`)
      }
    }
    const taken = gathered.take()
    return taken.equals(Buffer.concat(pieces)) && gathered.length === 0 && gathered.capacity === 0
  })
  fc.assert(property, { seed: seedOf(t), numRuns: 200 })
})

t.test('it never takes more than the limit', async t => {
  const gathered = new Gathered(1000)
  for (let i = 0; i < 10; i++) gathered.add(Buffer.alloc(99, i))
  t.equal(gathered.capacity, 1000)
  t.equal(gathered.take()[989], 9)
})

t.test('a piece does not keep what was read together with it', async t => {
  const read = Buffer.alloc(64 * 1024)
  const gathered = new Gathered(1000)
  gathered.add(read.subarray(10, 20))
  t.equal(gathered.take().buffer.byteLength, 10)
})

t.test('what was taken does not change', async t => {
  const gathered = new Gathered(1000)
  gathered.add(Buffer.from('one'))
  const taken = gathered.take()
  gathered.add(Buffer.from('two'))
  t.equal(taken.toString(), 'one')
  t.equal(gathered.take().toString(), 'two')
})
