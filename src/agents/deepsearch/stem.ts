/**
 * The common root of an English word's forms, so that “cancelled” finds “cancel”. Roots are for comparing, not for
 * reading. Anything but plain lower-case a–z comes back as it is.
 */
export function stem(word: string): string {
  if (!/^[a-z]{3,}$/.test(word)) return word
  const root = withoutTense(singular(word))
  return root
    .replace(/([^aeiou])\1$/, '$1')
    .replace(/(?<=..)e$/, '')
    .replace(/(?<=[^aeiou])y$/, 'i')
}

function singular(word: string): string {
  if (/(?:ss|us|is)$/.test(word)) return word
  if (/..ies$/.test(word)) return `${word.slice(0, -3)}y`
  if (/(?:[sc]h|x|z|ss)es$/.test(word)) return word.slice(0, -2)
  return word.endsWith('s') ? word.slice(0, -1) : word
}

function withoutTense(word: string): string {
  const [, left] = /^(.*[aeiouy].*)ing$/.exec(word) ?? /^(.*[aeiouy].*)(?<!e)ed$/.exec(word) ?? []
  return left !== undefined && left.length > 1 ? left : word
}
