import t from 'tap'
import { figure, isReached, printResult, printTable } from '../report.ts'

t.test('figures have their significant digits', async t => {
  t.same([1234.5, 12.34, 1.234, 0.1234, 0.01234, 0].map(figure), [
    '1235',
    '12.3',
    '1.23',
    '0.12',
    '0.012',
    '0',
  ])
  t.equal(figure(Number.NaN), '–')
})

t.test('the columns of a table are aligned', async t => {
  const table = printTable({
    title: 'Cost',
    columns: ['', 'µs', 'ratio'],
    rows: [
      ['ours', 12.4, 0.5],
      ['theirs', 25, ''],
    ],
  })
  t.equal(table, 'Cost\n\n          µs  ratio\n──────  ────  ─────\nours    12.4   0.50\ntheirs  25.0')
})

t.test('an aim is reached at its limit', async t => {
  t.ok(isReached({ what: '', limit: 0.5, measured: 0.5 }))
  t.notOk(isReached({ what: '', limit: 0.5, measured: 0.51 }))
  t.ok(isReached({ what: '', limit: 0.5, atLeast: true, measured: 0.5 }))
  t.notOk(isReached({ what: '', limit: 0.5, atLeast: true, measured: 0.49 }))
})

t.test('a printed result shows missed aims and failed checks', async t => {
  const text = printResult({
    scenario: 'x',
    settings: {},
    tables: [],
    aims: [
      { what: 'near', limit: 1, measured: 0.9, quartiles: [0.8, 1] },
      { what: 'far', limit: 1, measured: 2, unit: ' MB' },
      { what: 'high', limit: 0.7, atLeast: true, measured: 0.9 },
    ],
    checks: [
      { what: 'whole', holds: true },
      { what: 'exact', holds: false, detail: '3 are not' },
    ],
    notes: ['a note'],
  })
  t.match(text, /near +≤ 1 +0\.90 +0\.80–1\.00 +reached/)
  t.match(text, /far +≤ 1 MB +2\.00 +MISSED/)
  t.match(text, /high +≥ 0\.7 +0\.90 +reached/)
  t.match(text, /ok +whole\n/)
  t.match(text, /FAILED +exact: 3 are not\n/)
  t.match(text, /· a note\n$/)
})
