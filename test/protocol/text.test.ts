import fc from 'fast-check'
import t from 'tap'
import { beginning } from '../../src/protocol/index.ts'

t.test('the beginning of a text is as long as allowed, but for half a character', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.nat(20), (text, max) => {
      const cut = beginning(text, max)
      const isAsLong = cut.length >= Math.min(text.length, max - 1)
      return cut.length <= max && isAsLong && text.startsWith(cut) && cut.isWellFormed()
    }),
  )
})

t.test('no room gives no text', async t => {
  t.equal(beginning('😀', 1), '')
  t.equal(beginning('a', 0), '')
  t.equal(beginning('a', -1), '')
})
