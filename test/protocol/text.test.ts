import fc from 'fast-check'
import t from 'tap'
import { beginning } from '../../src/protocol/index.ts'
import { WholeCharacters } from '../../src/protocol/text.ts'

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

t.test('pieces that were cut anywhere come out whole, and nothing is lost', async t => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.array(fc.nat(4)), (text, sizes) => {
      const whole = new WholeCharacters()
      const pieces: string[] = []
      let at = 0
      for (const size of [...sizes, text.length]) {
        pieces.push(whole.add(text.slice(at, at + size)))
        at += size
      }
      pieces.push(whole.end())
      return pieces.every(piece => piece.isWellFormed()) && pieces.join('') === text
    }),
  )
  const whole = new WholeCharacters()
  t.equal(
    whole.add('a\ud83d') + whole.add('b\ude00') + whole.add('\ud83d') + whole.end(),
    'a\ufffdb\ufffd\ufffd',
  )
})
