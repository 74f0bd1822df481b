/** The terms of two analyses: those in common, and those of only one. */
import type { RunView } from 'twinrail-client/react'
import { partsOf } from './parts.ts'

interface ComparisonProps {
  one: RunView
  other: RunView
  nameOf: (run: RunView) => string
}

export function Comparison({ one, other, nameOf }: ComparisonProps) {
  const [left, right] = [one, other].map(run => partsOf(run).terms?.map(({ term }) => term) ?? []) as [
    string[],
    string[],
  ]
  const groups = [
    { title: `Only in ${nameOf(one)}`, terms: left.filter(term => !right.includes(term)) },
    { title: 'In both', terms: left.filter(term => right.includes(term)) },
    { title: `Only in ${nameOf(other)}`, terms: right.filter(term => !left.includes(term)) },
  ]
  return (
    <section className="comparison" aria-label="Comparison">
      {groups.map(({ title, terms }, i) => (
        <div key={i}>
          <h3>{title}</h3>
          <p>{terms.length > 0 ? terms.join(', ') : 'none'}</p>
        </div>
      ))}
    </section>
  )
}
