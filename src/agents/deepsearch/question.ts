/** Splits a query into questions, and guesses which words the answer to a question is written with. */
import { sentences, terms } from './text.ts'

/** A query is split into at most this many questions. */
export const MAX_QUESTIONS = 6

const CONJUNCTIONS = 'and|or|und|oder|y|et'
const QUESTION_WORDS =
  'when|where|what|why|how|which|who|whose|wann|wo|was|warum|wieso|wie|welche[rsn]?|wer|wozu|cuándo|dónde|qué|cómo|quand|où|comment|pourquoi'
const STARTS_WITH_QUESTION_WORD = new RegExp(`^(?:${QUESTION_WORDS})\\b`, 'i')
/** A question word before one of these starts a complete clause: “when is it …”. */
const AUXILIARY = /^(?:is|are|was|were|do|does|did|can|could|should|shall|will|would|may|must|has|have)$/i

/** A comma separates clauses only before “when is”, “how do” and the like: “a session, which …” is one question. */
const CLAUSE_SEPARATOR = new RegExp(
  `,?\\s+(?:${CONJUNCTIONS})\\s+(?=(?:${QUESTION_WORDS})\\b)|,\\s+(?=(?:when|where|what|why|how)\\s+(?:is|are|do|does|can|should)\\b)`,
  'i',
)

/** The start of a sentence about the asker: “I have a server.” */
const ABOUT_ASKER = /^(?:(?:i|we|i'm|we're|my|our|ich|wir|mein|unser)\b|我)/i

/**
 * Splits a query into 1 to {@link MAX_QUESTIONS} different questions: by sentence, by clause with its own question word,
 * by the sides of a comparison and by the items of a list. A sentence that matches no rule stays whole; the questions
 * beyond the limit are joined into the last one.
 */
export function decompose(query: string): string[] {
  const sentencesOfQuery = query
    .split(/[\n;；]+/)
    .flatMap(line => sentences(line))
    .filter(sentence => terms(sentence).length > 0)
  const hasQuestion = sentencesOfQuery.some(isQuestion)
  const questions = sentencesOfQuery
    .filter(sentence => !hasQuestion || isQuestion(sentence) || !ABOUT_ASKER.test(sentence))
    .flatMap(split)
  const lower = questions.map(question => question.toLowerCase())
  const distinct = questions.filter((_question, i) => lower.indexOf(lower[i]!) === i)
  const rest = distinct.splice(MAX_QUESTIONS - 1)
  if (rest.length > 0) distinct.push(rest.join(' '))
  return distinct.length > 0 ? distinct : [query]
}

function isQuestion(sentence: string): boolean {
  return /[?？]["'”’)）]*$/.test(sentence)
}

/** Applies the first rule that gives several questions. Rules get the sentence without its closing punctuation. */
function split(sentence: string): string[] {
  const body = sentence.replace(/[\s?？.。!！]+$/, '')
  const mark = /[?？](?=[\s?？.。!！]*$)/.exec(sentence)?.[0] ?? ''
  for (const rule of [comparison, clauses, chineseClauses, twoVerbs, list, chineseList]) {
    const questions = rule(body) ?? []
    if (questions.length > 1 && questions.every(question => terms(question).length > 0)) {
      return questions.map(question => (isQuestion(question) ? question : question + mark))
    }
  }
  return [sentence]
}

const COMPARISONS: readonly { pattern: RegExp; ask: (side: string) => string }[] = [
  { pattern: /\b(?:differences?|distinction) between (.{1,80}?) and (.{1,80})$/i, ask: askWhat },
  { pattern: /^compare (.{1,80}?) (?:and|with|to) (.{1,80})$/i, ask: askWhat },
  { pattern: /^(\S+(?: \S+){0,2}) (?:vs\.?|versus) (\S+(?: \S+){0,2})$/i, ask: askWhat },
  { pattern: /(\S+) (?:vs\.?|versus) ([^\s,]+)/i, ask: askWhat },
  { pattern: /\bunterschiede? zwischen (.{1,80}?) und (.{1,80})$/i, ask: side => `Was ist ${side}?` },
  {
    pattern: /^(.{1,40}?)(?:和|与|跟|同)(.{1,40}?)(?:之间)?(?:的|有什么|有何|有)*(?:区别|不同|差别|差异)/,
    ask: side => spaced('什么是', `${side}？`),
  },
]

/** “A vs B”: the comparison, then a question for each side. */
function comparison(question: string): string[] | undefined {
  for (const { pattern, ask } of COMPARISONS) {
    const [, first, second] = pattern.exec(question) ?? []
    if (first && second) return [question, ask(first.trim()), ask(second.trim())]
  }
  return undefined
}

function askWhat(side: string): string {
  return `What is ${side.replace(/^(?:(?:what is|the|a|an) )+/i, '')}?`
}

/** “When should I use A and when B?”: each question word starts a question. */
function clauses(question: string): string[] | undefined {
  if (!STARTS_WITH_QUESTION_WORD.test(question)) return undefined
  const [first = '', ...others] = question.split(CLAUSE_SEPARATOR)
  return [first, ...others.map(clause => capitalize(complete(clause, first)))]
}

/** Completes an elliptic clause: “when B” after “When should I use A” becomes “when should I use B”. */
function complete(clause: string, first: string): string {
  const [questionWord = '', ...rest] = clause.split(/\s+/)
  const [firstQuestionWord = '', auxiliary = '', ...firstRest] = first.split(/\s+/)
  const sameWord = questionWord.toLowerCase() === firstQuestionWord.toLowerCase()
  const isElliptic = sameWord && !AUXILIARY.test(rest[0] ?? '')
  const missing = firstRest.length - rest.length
  if (!isElliptic || missing <= 0 || !AUXILIARY.test(auxiliary)) return clause
  return [questionWord, auxiliary, ...firstRest.slice(0, missing), ...rest].join(' ')
}

/** “什么时候用 A，什么时候用 B” */
function chineseClauses(question: string): string[] | undefined {
  return question.split(/[，,]\s*(?=什么|怎么|怎样|如何|为什么|何时|哪|谁|是否|能否)/)
}

/** “How do I start the server and connect a client”: one subject, two verbs. */
function twoVerbs(question: string): string[] | undefined {
  const [, subject, first, second] =
    /^(.*?\b(?:I|we|you|one|to))\s+(\S+(?:\s+\S+){0,8}?)\s+(?:and|or)\s+(\S+\s+(?:a|an|the|my|our|your|its?|from|to|with)\s.+)$/i.exec(
      question,
    ) ?? []
  if (!subject || !first || !second) return undefined
  // “start and stop the server”: both verbs share the object.
  const object = /\s/.test(first) ? '' : second.slice(second.indexOf(' '))
  return [`${subject} ${first}${object}`, `${subject} ${second}`]
}

/** “What are sessions, runs and events”: one question for each item, with the words before the list. */
function list(question: string): string[] | undefined {
  // An article and its word count as one word.
  const words = question.match(/(?:(?:an?|the|der|die|das|eine?) )?\S+/gi) ?? []
  const conjunction = words.length - 2
  if (conjunction < 1 || !new RegExp(`^(?:${CONJUNCTIONS})$`, 'i').test(words[conjunction]!)) return undefined
  let start = conjunction - 1
  while (words[start - 1]?.endsWith(',')) start--
  const items = [...words.slice(start, conjunction), ...words.slice(-1)]
  return items.map(item => [...words.slice(0, start), item.replace(/,$/, '')].join(' '))
}

/** “会话、运行和事件是什么” */
function chineseList(question: string): string[] | undefined {
  const [, items = '', rest = ''] =
    /^(.{1,80}?)(?:分别|各)?((?:是什么|是指什么|有什么用|怎么用|如何使用|怎么工作|如何工作).*)$/.exec(
      question,
    ) ?? []
  return items.split(/、|和|与|以及/).map(item => spaced(item.trim(), rest))
}

/** Joins two texts: with a space, but with none between two Han characters. */
function spaced(before: string, after: string): string {
  return /\p{Script=Han}$/u.test(before) && /^\p{Script=Han}/u.test(after)
    ? before + after
    : `${before} ${after}`
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

/** Kinds of questions, and words that are frequent in the answers to each. */
const ANSWER_WORDS: readonly { question: RegExp; words: string }[] = [
  {
    question:
      /\bshould\b|\bwhen (?:do|to)\b|\bwhich .*\b(?:choose|pick|use)\b|\b(?:vs|versus|difference|compare|instead|sollte?|wann|unterschied)\b|什么时候|何时|应该|该用|区别|选/i,
    words:
      'use choose prefer recommended suits best advice instead enough needs 选择 适合 推荐 优先 verwenden empfohlen bevorzugen',
  },
  {
    question: /\bhow (?:do|can|to)\b|\bwie\b|如何|怎么|怎样/i,
    words: 'send call set run start use example 调用 发送 设置 运行',
  },
  {
    question: /\bhow long\b|\bwie lange\b|多久|多长时间/i,
    words:
      'time timeout milliseconds ms seconds minutes hours days months period Sekunden Minuten Tage 秒 分钟 小时',
  },
  {
    question: /\bhow (?:many|much|large|big)\b|\bwie (?:viele?|groß)\b|多少|多大/i,
    words: 'maximum minimum limit default size bytes kb mb percent höchstens mindestens 最多 至少 上限',
  },
]

/** Words that are likely in an answer to this question, separated by spaces; empty for other kinds of questions. */
export function likelyAnswerWords(question: string): string {
  return ANSWER_WORDS.filter(kind => kind.question.test(question))
    .map(({ words }) => words)
    .join(' ')
}
