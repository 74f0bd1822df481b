import fc from 'fast-check'
import t from 'tap'
import { TermLists } from '../../src/agents/deepsearch/term-lists.ts'

t.test(
  'a list has what was added for its term in order, whenever it is read and after it was stored',
  async t => {
    const term = fc.nat({ max: 6 })
    const additions = fc.array(fc.tuple(term, fc.nat()), { maxLength: 40 })
    fc.assert(
      fc.property(fc.array(additions, { maxLength: 4 }), rounds => {
        const lists = new TermLists()
        const expected: number[][] = Array.from({ length: 8 }, () => [])
        for (const round of rounds) {
          for (const [term, number] of round) {
            lists.add(term, number)
            expected[term]?.push(number)
          }
          const stored = new TermLists(lists.data)
          for (const [term, numbers] of expected.entries()) {
            t.same([...lists.of(term)], numbers)
            t.same([...stored.of(term)], numbers)
          }
        }
      }),
    )
    const lists = new TermLists()
    for (let number = 0; number < 5_000; number++) lists.add(number % 2, number)
    t.same([lists.of(0).length, lists.of(1).at(-1)], [2_500, 4_999], 'many')
  },
)
