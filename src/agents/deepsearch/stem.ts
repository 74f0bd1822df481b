/**
 * Stems of English words, by a small rule of our own. It removes inflections only: a stemmer of the Porter family would
 * also make one word of “server” and “serve”, or of “number” and “numb”. Derived words are told apart from a word's own
 * forms and count less, see {@link roots}.
 */
import { irregularForms } from './words.ts'

/**
 * The stem that the forms of an English word share, so that “cancelled” matches “cancel” and “sent” matches “send”. Stems
 * are for comparison, not for display. Words with anything but a–z are returned unchanged.
 */
export function stem(word: string): string {
  if (!/^[a-z]{3,}$/.test(word)) return word
  return withoutTense(singular(irregularForms.get(word) ?? word))
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
  const [, base] = /^(.*[aeiouy].*)ing$/.exec(word) ?? /^(.*[aeiouy].*)(?<!e)ed$/.exec(word) ?? []
  return base !== undefined && base.length > 1 ? base : word
}

/** Endings that derive a word from another, longest first. */
const DERIVATIONS = [
  'ization',
  'ation',
  'ition',
  'ment',
  'able',
  'ness',
  'ance',
  'ence',
  'ion',
  'er',
  'or',
  'ly',
]

/**
 * The stems that a stem may be derived from, itself included: “redirection” from “redirect”, “logger” from “log”. Two
 * stems with a root in common are probably related.
 */
export function roots(stemmed: string): string[] {
  if (!/^[a-z]{6,}$/.test(stemmed)) return [stemmed]
  const bases = DERIVATIONS.filter(ending => stemmed.endsWith(ending) && stemmed.length - ending.length >= 4)
  return [stemmed, ...bases.map(ending => stem(stemmed.slice(0, -ending.length)))]
}
