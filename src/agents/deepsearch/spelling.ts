/** Similar spellings of words. */

/** Scripts in which a similar spelling is another word. */
const UNSPELLED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u

/** The terms of a vocabulary that are spelled like this one: one letter is different, in long words up to two. */
export function similarSpellings(term: string, vocabulary: readonly string[]): string[] {
  if (!/^\p{L}{5,}$/u.test(term) || UNSPELLED.test(term)) return []
  const maxEdits = term.length < 8 ? 1 : 2
  return vocabulary.filter(
    other => Math.abs(other.length - term.length) <= maxEdits && edits(term, other) <= maxEdits,
  )
}

/** The number of letters to add, remove, replace or swap with the next to make one word of another. */
function edits(from: string, to: string): number {
  let before: number[] = []
  let row = Array.from({ length: to.length + 1 }, (_, i) => i)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const replaced = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1)
      const isSwap = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]
      const swapped = isSwap ? before[j - 2]! + 1 : Number.POSITIVE_INFINITY
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, replaced, swapped))
    }
    before = row
    row = next
  }
  return row[to.length]!
}
