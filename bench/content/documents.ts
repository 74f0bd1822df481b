/** Document analysis: sections, their terms and a summary of each of this project's documents. */
import { seeded, shuffled } from '../random.ts'
import { type Content, cueOf, pause } from './content.ts'
import { type Section, sections, sentences, tokens } from './repository.ts'

/** Between two sections, on average, ms. */
export const SECTION_MS = 150

export const SUMMARY_TOKENS_PER_SECOND = 40

const STEPS = ['Read', 'Count terms', 'Summarise']

/** Words of four letters and more: shorter ones say little of a text. */
const words = (text: string) => text.toLowerCase().match(/\p{L}{4,}/gu) ?? []

function count(text: string): Map<string, number> {
  const counts = new Map<string, number>()
  for (const word of words(text)) counts.set(word, (counts.get(word) ?? 0) + 1)
  return counts
}

/** The words that stand most often, the first ones first, up to `length`. */
export const terms = (text: string, length: number) =>
  [...count(text)]
    .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
    .slice(0, length)
    .map(([term, times]) => ({ term, times }))

/** The sentences with the most frequent words, in their order. */
export function summary(text: string, length: number): string {
  const counts = count(text)
  const worth = (sentence: string) => {
    const all = words(sentence)
    return all.reduce((sum, word) => sum + (counts.get(word) ?? 0), 0) / (all.length + 5)
  }
  const all = [...new Set(sentences(text))]
  const best = new Set([...all].sort((a, b) => worth(b) - worth(a)).slice(0, length))
  return all.filter(sentence => best.has(sentence)).join(' ')
}

/** Analyses one after the other: a run for each document. */
export function* documents(seed: number): Content {
  const random = seeded(seed)
  const byFile = new Map<string, Section[]>()
  for (const section of sections()) byFile.set(section.file, [...(byFile.get(section.file) ?? []), section])
  for (let atMs = 0, number = 1; ; ) {
    for (const [file, parts] of shuffled([...byFile], random)) {
      const runId = `documents-${seed}-${number++}`
      const cue = cueOf(runId)
      const partId = `${runId}-summary`
      const plan = (done: number) => ({
        title: file,
        steps: STEPS.map((title, i) => ({
          title,
          status: i < done ? 'done' : i === done ? 'running' : 'pending',
        })),
      })
      yield cue(atMs, 'run.started', { agent: 'documents', input: { document: file }, messageId: runId })
      yield cue(atMs, 'plan.updated', plan(0))
      for (const [index, { heading, text }] of parts.entries()) {
        atMs += pause(random, SECTION_MS)
        const sourceId = `${runId}-${index + 1}`
        yield cue(atMs, 'source.added', { sourceId, title: heading, excerpt: text.slice(0, 300) })
      }
      yield cue(atMs, 'plan.updated', plan(1))
      for (const { heading, text } of parts) {
        atMs += pause(random, SECTION_MS)
        yield cue(atMs, 'x.terms', { section: heading, words: words(text).length, terms: terms(text, 8) })
      }
      yield cue(atMs, 'plan.updated', plan(2))
      yield cue(atMs, 'text.start', { partId, messageId: runId, role: 'assistant' })
      for (const delta of tokens(summary(parts.map(({ text }) => text).join('\n\n'), 4))) {
        yield cue(atMs, 'text.delta', { partId, delta })
        atMs += 1000 / SUMMARY_TOKENS_PER_SECOND
      }
      yield cue(atMs, 'text.end', { partId })
      yield cue(atMs, 'plan.updated', plan(3))
      yield cue(atMs, 'run.completed', { finishReason: 'stop', result: { sections: parts.length } })
      atMs += pause(random, SECTION_MS)
    }
  }
}
