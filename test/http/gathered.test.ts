/** Bytes that arrive in pieces are gathered in memory of their own. */
import fc from 'fast-check'
import t from 'tap'
import { Gathered } from '../../src/http/gathered.ts'
import { seedOf } from '../../src/log/contract/random.ts'

const BLOCK = 16 * 1024

t.test('what is taken is what was added, and takes at most twice its bytes', async t => {
  const sizes = fc.oneof(fc.nat(300), fc.nat(3 * BLOCK))
  const bodies = fc.array(fc.tuple(fc.array(sizes, { maxLength: 20 }), fc.boolean()), { maxLength: 5 })
  let value = 0
  const property = fc.property(bodies, bodies => {
    const gathered = new Gathered()
    for (const [sizes, isDropped] of bodies) {
      const pieces = sizes.map(size => Buffer.alloc(size, ++value))
      for (const piece of pieces) {
        gathered.add(piece)
        const most = Math.min(2 * gathered.length, gathered.length + BLOCK - 1)
        if (gathered.capacity > most) throw new Error(`${gathered.capacity} bytes for ${gathered.length}`)
      }
      const whole = Buffer.concat(pieces)
      if (gathered.length !== whole.length) return false
      if (isDropped) gathered.drop()
      else if (!gathered.take(taken => taken.equals(whole))) return false
      if (gathered.length !== 0 || gathered.capacity !== 0) return false
    }
    return true
  })
  fc.assert(property, { seed: seedOf(t), numRuns: 200 })
})

t.test('a block is used again for the next body', async t => {
  const gathered = new Gathered()
  const piece = Buffer.alloc(64 * BLOCK)
  gathered.add(piece)
  gathered.drop()
  const before = process.memoryUsage().arrayBuffers
  for (let i = 0; i < 10; i++) {
    gathered.add(piece)
    gathered.drop()
  }
  t.ok(process.memoryUsage().arrayBuffers <= before, 'ten more bodies take no more memory')
})

t.test('a large body that is taken takes no memory of its own', async t => {
  const gathered = new Gathered()
  const piece = Buffer.alloc(63 * BLOCK)
  gathered.add(piece)
  gathered.take(() => {})
  const before = process.memoryUsage().arrayBuffers
  for (let i = 0; i < 10; i++) {
    gathered.add(piece)
    gathered.take(() => {})
  }
  t.ok(process.memoryUsage().arrayBuffers <= before, 'ten more bodies take no more memory')
})

t.test('a piece does not keep what was read together with it', async t => {
  const read = Buffer.alloc(64 * 1024)
  const gathered = new Gathered()
  gathered.add(read.subarray(10, 20))
  t.equal(
    gathered.take(whole => whole.buffer.byteLength),
    10,
  )
})

t.test('after a use that fails, too, the next body begins anew', async t => {
  const gathered = new Gathered()
  gathered.add(Buffer.from('one'))
  t.throws(() =>
    gathered.take(() => {
      throw new Error('refused')
    }),
  )
  gathered.add(Buffer.from('two'))
  t.equal(gathered.take(String), 'two')
})
