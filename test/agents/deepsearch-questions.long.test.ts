import { readFile } from 'node:fs/promises'
import t from 'tap'
import { createDeepsearch } from '../../src/agents/deepsearch/deepsearch.ts'
import { answered, type Expected, packages, unanswered } from '../fixtures/deepsearch-questions.ts'
import { fakeRun, play } from '../fixtures/run-context.ts'

/** How many of the questions with an answer must be answered to the point. */
const MIN_TO_THE_POINT = 30

/** How many of the questions without an answer must be refused. */
const MIN_REFUSED = 8

const deepsearch = createDeepsearch({ corpus: packages.map(name => `node_modules/${name}`) })

interface Result {
  answer: string
  sources: { url: string }[]
}

async function ask(query: string): Promise<Result & { finishReason: string | undefined }> {
  const { result, error } = await play(deepsearch, { query }, fakeRun())
  if (error) throw error
  return { ...(result?.result as Result), finishReason: result?.finishReason }
}

/** Letters and digits only: what stays the same when markup, line breaks and punctuation change. */
function letters(text: string): string {
  return (text.match(/[\p{L}\p{N}]/gu) ?? []).join('')
}

/** The letters that a reader of a Markdown or HTML file sees. */
async function visibleLetters(file: string): Promise<string> {
  const source = await readFile(`node_modules/${decodeURIComponent(file)}`, 'utf8')
  return letters(
    source
      .replace(/<\/?[a-z][^>]*>|<!--[\s\S]*?-->|\]\([^)]*\)|\]\[[^\]]*\]/gi, '')
      .replace(/&#39;|&\w+;/g, ' '),
  )
}

/** The quotes of an answer with the number of their source; rows and items are split at what joins their cells. */
function quotesOf(answer: string): { number: number; text: string }[] {
  return [...answer.matchAll(/^(- )?(.*) \[(\d+)\]$/gm)].flatMap(([, bullet, text = '', number]) =>
    text.split(bullet ? / – |: |; / : /$^/).map(text => ({ number: Number(number), text })),
  )
}

function holds({ answer, sources }: Result, { file, text, section }: Expected): boolean {
  const isCited = sources.some(
    ({ url }) => url === `${file}#${section}` || (!section && url.split('#')[0] === file),
  )
  return isCited && letters(answer).includes(letters(text))
}

t.test('the expected passages stand in the files', async t => {
  t.equal(answered.length, 40)
  t.equal(unanswered.length, 8)
  for (const [question, ...passages] of answered) {
    for (const { file, text } of passages) {
      t.ok((await visibleLetters(file)).includes(letters(text)), `${question} ${file}: ${text}`)
    }
  }
})

t.test(`answers at least ${MIN_TO_THE_POINT} of ${answered.length} questions to the point`, async t => {
  let toThePoint = 0
  let refused = 0
  for (const [question, ...passages] of answered) {
    const result = await ask(question)
    const isRight = passages.some(passage => holds(result, passage))
    if (isRight) toThePoint++
    else if (result.finishReason === 'no-results') refused++
    const verdict = isRight ? 'to the point' : result.finishReason === 'no-results' ? 'refused' : 'beside'
    t.comment(`${verdict}: ${question}`)
    if (!isRight) t.comment(result.answer)
  }
  const beside = answered.length - toThePoint - refused
  t.comment(`${toThePoint} to the point, ${refused} refused, ${beside} beside`)
  t.ok(toThePoint >= MIN_TO_THE_POINT, `${toThePoint} to the point`)
})

t.test(`refuses at least ${MIN_REFUSED} of ${unanswered.length} questions without an answer`, async t => {
  let refused = 0
  for (const question of unanswered) {
    const { answer, sources, finishReason } = await ask(question)
    const isRefused = finishReason === 'no-results'
    if (isRefused) refused++
    t.equal(sources.length === 0, isRefused)
    t.comment(`${isRefused ? 'refused' : 'answered'}: ${question}\n${answer}`)
  }
  t.ok(refused >= MIN_REFUSED, `${refused} refused`)
})

t.test('every quote stands literally in its file', async t => {
  for (const question of [...answered.map(([question]) => question), ...unanswered]) {
    const { answer, sources } = await ask(question)
    for (const { number, text } of quotesOf(answer)) {
      const [file = ''] = sources[number - 1]!.url.split('#')
      t.ok((await visibleLetters(file)).includes(letters(text)), `${question} ${file}: ${text}`)
    }
  }
})
