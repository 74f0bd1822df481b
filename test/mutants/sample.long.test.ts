/** The samples of `mutants.mjs`: what is drawn, and whether the interval is as sure as it says. */
import t from 'tap'
import { seedOf } from '../../src/log/contract/random.ts'

interface Unit {
  file: string
  from: number
  to: number
}

interface Count {
  killed: number
  all: number
}

// No types belong to this file, so it is imported by an address that the compiler does not follow.
const { sampleOf, scoreOf, unitsOf } = (await import(new URL('./sample.mjs', import.meta.url).href)) as {
  unitsOf(file: string, text: string): Unit[]
  sampleOf(units: Unit[], share: number, seed: string): Unit[]
  scoreOf(counts: Count[], share: number): Count & { score: number; from: number; to: number }
}

t.test('the units are class members and top-level statements, without types and imports', async t => {
  const text = `import a from 'a'
/** Comment. */
const one = 1, two = [
  2,
]
interface I { x: number }
type T = I
export class C {
  #field = 1

  /** Comment. */
  method() {
    return 1
  }
}
if (one) two.pop(); else two.push(1)
function f() {}
`
  const units = unitsOf('f.ts', text)
  t.same(
    units.map(({ from, to }) => [from, to]),
    [
      [3, 5],
      [9, 9],
      [12, 14],
      [16, 16],
      [17, 17],
    ],
  )
})

t.test('a seed draws the same units each time, and more with a larger share', async t => {
  const units = Array.from({ length: 2000 }, (_, n) => ({ file: 'f.ts', from: n + 1, to: n + 1 }))
  const some = sampleOf(units, 0.1, 'a')
  t.same(sampleOf(units, 0.1, 'a'), some)
  t.ok(some.length > 140 && some.length < 260, `${some.length} of 2000`)
  const more = new Set(sampleOf(units, 0.2, 'a'))
  t.ok(some.every(unit => more.has(unit)))
  t.notSame(sampleOf(units, 0.1, 'b'), some)
  t.equal(sampleOf(units, 1, 'a').length, 2000)
})

t.test('the interval holds the true score about as often as it says', async t => {
  const seed = seedOf(t)
  // Units of 1 to 16 mutants, each with a strength of its own.
  const units = Array.from({ length: 300 }, (_, n) => {
    const all = 1 + ((n * 7) % 16)
    return {
      file: 'f.ts',
      from: n,
      to: n,
      all,
      killed: n % 6 === 0 ? 0 : all - (n % 3) * Math.floor(all / 5),
    }
  })
  const sum = (field: 'all' | 'killed') => units.reduce((total, unit) => total + unit[field], 0)
  const truth = sum('killed') / sum('all')
  const hits = Array.from({ length: 400 }, (_, n) => {
    const { from, to } = scoreOf(sampleOf(units, 0.2, `${seed} ${n}`) as (Unit & Count)[], 0.2)
    return from <= truth && truth <= to
  }).filter(Boolean).length
  t.ok(hits >= 360, `${hits} of 400`)
  const { from, to } = scoreOf(units, 1)
  t.ok(to - from < 0.06, 'a sample of everything leaves only what single draws leave')
})

t.test('a small sample without survivors is not certain', async t => {
  const { score, from, to } = scoreOf(
    [
      { killed: 10, all: 10 },
      { killed: 5, all: 5 },
    ],
    0.1,
  )
  t.equal(score, 1)
  t.ok(from > 0.75 && from < 0.85, `from ${from}`)
  t.equal(to, 1)
  t.match(scoreOf([{ killed: 0, all: 0 }], 0.1), { from: 0, to: 1 })
  t.match(scoreOf([{ killed: 3, all: 4 }], 0.1), { from: 0, to: 1 }, 'one unit says nothing of others')
})
