/** What the co-author writes: by rules, so that the example needs no model, or by the model of the environment. */

export interface Writer {
  /** What follows after the text, piece by piece. */
  continuation(text: string): AsyncIterable<string>
  /** A shorter version of a paragraph of the text. */
  shorter(paragraph: string, text: string): AsyncIterable<string>
  /** A heading for a paragraph of the text, without marks. */
  heading(paragraph: string, text: string): AsyncIterable<string>
}

const COMMON = new Set(
  `about above after again also another because been before being both cannot could does each every first from have having
here into itself just like made make makes many more most much must never only other others over same several should since
some such than that their them then there these they this those through under until upon very what when where which while
will with without would your`.split(/\s+/),
)

const wordsOf = (text: string) =>
  (text.toLowerCase().match(/[\p{L}’'-]{4,}/gu) ?? []).filter(word => !COMMON.has(word))

export const sentencesOf = (text: string) =>
  text
    .match(/[^.!?]+(?:[.!?]+["”)]*|$)\s*/g)
    ?.map(sentence => sentence.trim())
    .filter(Boolean) ?? []

/** Blocks of a Markdown text that are prose: no headings, lists or code. */
export const proseOf = (text: string) =>
  text.split(/\n{2,}/).filter(block => /^[\p{L}"“(*_[]/u.test(block) && block.length > 40)

function countsOf(text: string): Map<string, number> {
  const counts = new Map<string, number>()
  for (const word of wordsOf(text)) counts.set(word, (counts.get(word) ?? 0) + 1)
  return counts
}

/** How much a sentence says of what the text is about. */
function weight(sentence: string, counts: Map<string, number>): number {
  const words = new Set(wordsOf(sentence))
  let sum = 0
  for (const word of words) sum += counts.get(word) ?? 0
  return sum / Math.sqrt(words.size + 1)
}

/** The words that stand out in a part of the text, the first ones most. */
function termsOf(part: string, counts: Map<string, number>): string[] {
  const inPart = countsOf(part)
  const score = (word: string) => inPart.get(word)! ** 2 / counts.get(word)! + (inPart.get(word)! > 1 ? 1 : 0)
  return [...inPart.keys()].sort((a, b) => score(b) - score(a) || a.localeCompare(b))
}

async function* pieces(text: string): AsyncGenerator<string> {
  yield* text.match(/\S+\s*|\s+/g) ?? []
}

/** Summarizes by picking sentences and words of the text itself: the same text gives the same words. */
export const byRules: Writer = {
  continuation(text) {
    const prose = proseOf(text).join(' ')
    if (prose === '') {
      return pieces(
        'This text begins with a question: what is it for? Write a paragraph, and ask again for a summary of it.',
      )
    }
    const counts = countsOf(prose)
    const best = sentencesOf(prose)
      .map((sentence, place) => ({ sentence, place, weight: weight(sentence, counts) }))
      .sort((a, b) => b.weight - a.weight)
      .slice(0, 2)
      .sort((a, b) => a.place - b.place)
    const questions = termsOf(prose, counts)
      .sort((a, b) => counts.get(b)! - counts.get(a)!)
      .slice(0, 3)
      .map(term => `- What would change without “${term}”?`)
    return pieces(
      `In short: ${best.map(({ sentence }) => sentence).join(' ')}\n\nQuestions that are still open:\n\n${questions.join('\n')}`,
    )
  },

  shorter(paragraph, text) {
    const sentences = sentencesOf(paragraph)
    const counts = countsOf(text)
    if (sentences.length > 1) {
      const kept = sentences.toSorted((a, b) => weight(b, counts) - weight(a, counts))
      const some = new Set(kept.slice(0, Math.ceil(sentences.length / 2)))
      return pieces(sentences.filter(sentence => some.has(sentence)).join(' '))
    }
    const plain = paragraph
      .replace(/\s*\([^)]*\)/g, '')
      .replace(/\b(very|really|quite|actually|basically|simply|just|of course|in fact)\s+/gi, '')
      .replace(/\bin order to\b/gi, 'to')
    return pieces(
      plain.length < paragraph.length ? plain : paragraph.split(/, (?:and|but|so|which|since) /)[0]!,
    )
  },

  heading(paragraph, text) {
    const [first = 'notes', second] = termsOf(paragraph, countsOf(text))
    const title = first[0]!.toUpperCase() + first.slice(1)
    return pieces(second ? `${title} and ${second}` : title)
  },
}

/**
 * Chooses the writer: `OPENAI_BASE_URL` or `OPENAI_API_KEY` says where the model is, `OPENAI_MODEL` which one.
 * @throws Error when the model has no name
 */
export async function writerOf(env: NodeJS.ProcessEnv): Promise<Writer> {
  const { OPENAI_BASE_URL: baseURL, OPENAI_API_KEY: apiKey, OPENAI_MODEL: name } = env
  if (!baseURL && !apiKey) return byRules
  if (!name)
    throw new Error('OPENAI_BASE_URL or OPENAI_API_KEY is set. Set OPENAI_MODEL to the name of the model.')
  const [{ createOpenAICompatible }, { streamText }] = await Promise.all([
    import('@ai-sdk/openai-compatible'),
    import('ai'),
  ])
  const provider = createOpenAICompatible({
    name: 'openai',
    baseURL: baseURL || 'https://api.openai.com/v1',
    ...(apiKey && { apiKey }),
  })
  const system =
    'You are the co-author of a Markdown text. Answer with nothing but the text that is to be inserted.'
  async function* ask(prompt: string) {
    let failure: unknown
    const { textStream } = streamText({
      model: provider(name!),
      system,
      prompt,
      onError: ({ error }) => {
        failure = error
      },
    })
    yield* textStream
    // The stream of the SDK ends without a word when the request failed.
    if (failure) throw failure
  }
  return {
    continuation: text => ask(`Write the next paragraph of this text:\n\n${text}`),
    shorter: (paragraph, text) =>
      ask(`The text:\n\n${text}\n\nWrite this paragraph of it in half as many words:\n\n${paragraph}`),
    heading: paragraph => ask(`A heading of at most five words, without marks, for:\n\n${paragraph}`),
  }
}
