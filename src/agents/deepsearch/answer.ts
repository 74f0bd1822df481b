/** Writes quotes as Markdown with citations. */
import type { Corpus } from './corpus.ts'
import { escapeMarkdown } from './inline.ts'
import type { Passage } from './passages.ts'
import type { Quote } from './quotes.ts'

/**
 * The answer to one question: each quote and what belongs to it, list items and table rows as bullets.
 * @param numberOf the number that a quote's source is cited by.
 */
export function writeQuotes(quotes: readonly Quote[], numberOf: (quote: Quote) => number): string {
  const parts = quotes.flatMap(quote => {
    const citation = ` [${numberOf(quote)}]`
    const shown = quote.shown.map((passage, i) => {
      const closes = passage.kind === 'prose' || i === quote.shown.length - 1
      return write(passage, closes ? citation : '')
    })
    return [write({ ...quote.passage, text: quote.text }, citation), ...shown]
  })
  return parts.map((part, i) => between(parts[i - 1], part) + part).join('')
}

function oneLine(question: string): string {
  return escapeMarkdown(question.replace(/\s+/g, ' ').trim())
}

/** A sub-question above its part of the answer. */
export function writeTitle(question: string): string {
  return `**${oneLine(question)}**`
}

/** What is said instead of an answer when nothing was found. */
export function writeNothing(question: string, { documents, unreadable }: Corpus): string {
  if (documents > 0) {
    return `Nothing in the corpus answers “${oneLine(question)}”; it holds ${count(documents, 'document')}.`
  }
  const advice =
    'Start the server with `--corpus DIR`, a folder of Markdown, text or HTML files, and ask again.'
  const reason = unreadable > 0 ? ` (${count(unreadable, 'file')} could not be read)` : ''
  return `The corpus holds no documents${reason}, so there is nothing to search. ${advice}`
}

/** `1 file`, `2 files`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

function write({ kind, text, language }: Passage, citation: string): string {
  if (kind === 'code') return fenced(text, language)
  return `${kind === 'prose' ? '' : '- '}${sentence(text)}${citation}`
}

function between(before: string | undefined, part: string): string {
  if (before === undefined) return ''
  return before.startsWith('- ') && part.startsWith('- ') ? '\n' : '\n\n'
}

function fenced(code: string, language: string): string {
  const longest = Math.max(2, ...(code.match(/`+/g) ?? []).map(ticks => ticks.length))
  const fence = '`'.repeat(longest + 1)
  return `${fence}${language}\n${code}\n${fence}`
}

/** The text as Markdown that ends like a sentence. */
function sentence(text: string): string {
  const ended = /[.!?:;…。！？：；]["'”’)\]`」』）]*$/.test(text)
  const stop = /\p{Script=Han}[^\p{L}]*$/u.test(text) ? '。' : '.'
  return escapeMarkdown(ended ? text : `${text.replace(/[,，、]$/, '')}${stop}`)
}
