/** The agent `documents`: it analyses a text in steps and says after each what it has found. */
import { setTimeout as pause } from 'node:timers/promises'
import { defineAgent, type EventBody } from 'twinrail'
import { languageOf, type Sentence, sectionsOf, sentencesOf, summaryOf, termsOf } from './analyse.ts'
import { Document, Facts, Terms } from './events.ts'

const STEPS = ['Split into sections', 'Count words', 'Weigh terms', 'Pick passages', 'Summarise']

/** Sentences of the summary, and terms that are shown. */
const SENTENCES = 6
const TERMS = 16

/** The analysis itself takes a fraction of a second. With these pauses, in ms, a reader sees it happen. */
const STEP_MS = 350
const WORD_MS = 30

const WORDS_PER_MINUTE = { en: 230, zh: 260 }

export const documents = defineAgent({
  name: 'documents',
  description: 'Analyses a text: sections, terms, passages, summary.',
  input: Document,
  inputText: ({ name }) => name,
  async *run({ name, text }, { runId, signal }) {
    const wait = (ms: number) => pause(ms, undefined, { signal })
    /** The plan when `done` of its steps are done. */
    const plan = (done: number): EventBody => ({
      type: 'plan.updated',
      data: {
        title: name,
        steps: STEPS.map((title, i) => ({
          title,
          status: i < done ? 'done' : i === done ? 'running' : 'pending',
        })),
      },
    })

    yield plan(0)
    const language = languageOf(text)
    const sections = sectionsOf(name, text)
    await wait(STEP_MS)

    yield plan(1)
    const sentences: Sentence[] = []
    for (const [index, section] of sections.entries()) {
      for (const sentence of sentencesOf(section, index, language)) {
        sentences.push(sentence)
        // A long document must not keep the server from its other work.
        if (sentences.length % 200 === 0) await wait(1)
      }
    }
    const words = sentences.reduce((sum, sentence) => sum + sentence.words, 0)
    const readingMinutes = Math.max(1, Math.round(words / WORDS_PER_MINUTE[language]))
    yield {
      type: 'x.facts',
      data: Facts.parse({
        language,
        sections: sections.length,
        sentences: sentences.length,
        words,
        readingMinutes,
      }),
    }
    await wait(STEP_MS)

    yield plan(2)
    const weighed = termsOf(sentences, 100)
    const terms = weighed.slice(0, TERMS)
    yield { type: 'x.terms', data: Terms.parse({ terms }) }
    await wait(STEP_MS)

    yield plan(3)
    const picked = summaryOf(sentences, weighed, SENTENCES)
    const cited = [...new Set(picked.map(({ section }) => section))]
    for (const section of cited) {
      const { heading, text } = sections[section]!
      const excerpt = text.length > 280 ? `${text.slice(0, 280).trimEnd()} …` : text
      yield {
        type: 'source.added',
        data: { sourceId: `${runId}-${section}`, title: heading, excerpt, section },
      }
      await wait(STEP_MS / 2)
    }

    yield plan(4)
    const partId = `${runId}-summary`
    yield { type: 'text.start', data: { partId, role: 'assistant' } }
    const parts = new Intl.Segmenter(language, { granularity: 'word' })
    for (const [index, sentence] of picked.entries()) {
      // A mark of punctuation comes with the word before it.
      let delta = ''
      for (const { segment, isWordLike } of parts.segment(sentence.text)) {
        if (isWordLike && delta.trim() !== '') {
          yield { type: 'text.delta', data: { partId, delta } }
          delta = ''
          await wait(WORD_MS)
        }
        delta += segment
      }
      const gap = index < picked.length - 1 ? (language === 'zh' ? '' : ' ') : ''
      yield {
        type: 'text.delta',
        data: { partId, delta: `${delta} [${cited.indexOf(sentence.section) + 1}]${gap}` },
      }
      await wait(STEP_MS / 2)
    }
    yield { type: 'text.end', data: { partId } }

    const artifactId = `${runId}-report`
    const report = [
      `# ${name}`,
      '## Summary',
      picked.map(({ text, section }) => `${text} [${cited.indexOf(section) + 1}]`).join(' '),
      '## Terms',
      terms.map(({ term, count }) => `- ${term} (${count})`).join('\n'),
      '## Passages',
      cited.map((section, i) => `${i + 1}. ${sections[section]!.heading}`).join('\n'),
    ]
    yield {
      type: 'artifact.start',
      data: { artifactId, kind: 'text/markdown', name: `${name.replace(/\.\w+$/, '')}-analysis.md` },
    }
    yield { type: 'artifact.delta', data: { artifactId, delta: `${report.join('\n\n')}\n` } }
    yield { type: 'artifact.end', data: { artifactId } }
    yield plan(STEPS.length)
    return { result: { sections: sections.length, words } }
  },
})
