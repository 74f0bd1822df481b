/** Random samples of a folder's functions, and what the mutants in them say about all mutants of the folder. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import ts from 'typescript'

/**
 * The units that a sample is drawn from: class members and top-level statements, as line ranges. Every mutant lies in
 * one of them, as a whole.
 */
export function unitsOf(file, text = readFileSync(file, 'utf8')) {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const lineOf = position => source.getLineAndCharacterOfPosition(position).line + 1
  const nodes = source.statements
    .filter(node => !ts.isImportDeclaration(node) && !ts.isInterfaceDeclaration(node))
    .filter(node => !ts.isTypeAliasDeclaration(node))
    .flatMap(node => (ts.isClassDeclaration(node) ? [...node.members] : [node]))
  const units = []
  for (const node of nodes) {
    const unit = { file, from: lineOf(node.getStart(source)), to: lineOf(node.getEnd()) }
    const before = units.at(-1)
    // Two on one line are one.
    if (before && unit.from <= before.to) before.to = unit.to
    else units.push(unit)
  }
  return units
}

/** Takes each unit with the probability `share`; the same seed takes the same ones, and more with a larger share. */
export function sampleOf(units, share, seed) {
  return units.filter(({ file, from }) => {
    const hash = createHash('sha256').update(`${seed} ${file}:${from}`).digest()
    return hash.readUInt32BE(0) / 2 ** 32 < share
  })
}

const Z95 = 1.96

/**
 * The share of all mutants that is killed, with its 95 % confidence interval. Mutants of one unit resemble each other, so
 * the error comes from how much the units differ (ratio estimate of a cluster sample). Where they hardly differ, as when
 * all are killed, the interval is the one for as many mutants drawn singly (Wilson).
 * @param counts killed and all mutants of each unit of the sample
 * @param share the part of all units that was drawn
 */
export function scoreOf(counts, share) {
  const drawn = counts.filter(unit => unit.all > 0)
  const all = drawn.reduce((sum, unit) => sum + unit.all, 0)
  const killed = drawn.reduce((sum, unit) => sum + unit.killed, 0)
  if (all === 0) return { killed, all, score: 0, from: 0, to: 1 }
  const score = killed / all
  const n = drawn.length
  const squares = drawn.reduce((sum, unit) => sum + (unit.killed - score * unit.all) ** 2, 0)
  const error = n < 2 ? 1 : (Z95 * Math.sqrt(((1 - share) * n * squares) / (n - 1))) / all
  const weight = Z95 ** 2 / all
  const middle = (score + weight / 2) / (1 + weight)
  const half = (Z95 * Math.sqrt((score * (1 - score)) / all + weight / (4 * all))) / (1 + weight)
  return {
    killed,
    all,
    score,
    from: Math.max(0, Math.min(score - error, middle - half)),
    to: Math.min(1, Math.max(score + error, middle + half)),
  }
}
