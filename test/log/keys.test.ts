import fc from 'fast-check'
import t from 'tap'
import { seedOf } from '../../src/log/contract/random.ts'
import { keys } from '../../src/log/keys.ts'

/** Texts in which the separator and its escape are frequent. */
const tricky = fc.string({ unit: fc.constantFrom(':', '%', '3', 'A', 'a', 'b'), minLength: 1, maxLength: 6 })

t.test('commands of other principals or with other keys never share a log key', async t => {
  t.not(keys.command('a', 'b:c'), keys.command('a:b', 'c'), 'the separator within a part')
  fc.assert(
    fc.property(tricky, tricky, tricky, tricky, (principal, key, otherPrincipal, otherKey) => {
      const equal = principal === otherPrincipal && key === otherKey
      return (keys.command(principal, key) === keys.command(otherPrincipal, otherKey)) === equal
    }),
    { seed: seedOf(t), numRuns: 2000 },
  )
})

t.test('keys of different kinds never meet', async t => {
  const kinds = [keys.run, keys.end, keys.cancel, keys.input, keys.answer]
  fc.assert(
    fc.property(tricky, tricky, (one, other) => {
      const all = [...kinds.map(kind => kind(one)), keys.command(one, other)]
      return new Set(all).size === all.length
    }),
    { seed: seedOf(t), numRuns: 500 },
  )
})
