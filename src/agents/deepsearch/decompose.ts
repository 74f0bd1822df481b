/** Splits a question into the questions that it is made of. */
import { sentences, terms } from './tokens.ts'

/** The most sub-questions that a question is split into. */
export const MAX_QUESTIONS = 6

const JOINT = 'and|or|und|oder|y|et'
const ASKING =
  'when|where|what|why|how|which|who|whose|wann|wo|was|warum|wieso|wie|welche[rsn]?|wer|wozu|cuándo|dónde|qué|cómo|quand|où|comment|pourquoi'
const BEGINS_ASKING = new RegExp(`^(?:${ASKING})\\b`, 'i')
/** After a question word: a whole clause follows, nothing is left out. */
const AUXILIARY = /^(?:is|are|was|were|do|does|did|can|could|should|shall|will|would|may|must|has|have)$/i

/** A comma alone is not enough: “a session, which …” goes on with the same question. */
const BETWEEN_CLAUSES = new RegExp(
  `,?\\s+(?:${JOINT})\\s+(?=(?:${ASKING})\\b)|,\\s+(?=(?:when|where|what|why|how)\\s+(?:is|are|do|does|can|should)\\b)`,
  'i',
)

/** Says who asks, not what. */
const INTRODUCTION = /^(?:(?:i|we|i'm|we're|my|our|ich|wir|mein|unser)\b|我)/i

/**
 * The questions in a query, at least one and at most {@link MAX_QUESTIONS}: sentences, clauses with a question word of
 * their own, both sides of a comparison, items of a list. What cannot be split with confidence stays whole.
 */
export function decompose(query: string): string[] {
  const said = query
    .split(/[\n;；]+/)
    .flatMap(line => sentences(line))
    .filter(sentence => terms(sentence).length > 0)
  const asks = said.some(isQuestion)
  const questions = said
    .filter(sentence => !asks || isQuestion(sentence) || !INTRODUCTION.test(sentence))
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

/** What the first rule that fits makes of a sentence. Rules see it without its closing marks. */
function split(sentence: string): string[] {
  const body = sentence.replace(/[\s?？.。!！]+$/, '')
  const mark = /[?？](?=[\s?？.。!！]*$)/.exec(sentence)?.[0] ?? ''
  for (const rule of [comparison, clauses, chineseClauses, verbs, list, chineseList]) {
    const questions = rule(body) ?? []
    if (questions.length > 1 && questions.every(question => terms(question).length > 0)) {
      return questions.map(question => (isQuestion(question) ? question : question + mark))
    }
  }
  return [sentence]
}

const COMPARISONS: readonly { pattern: RegExp; ask: (side: string) => string }[] = [
  { pattern: /\b(?:differences?|distinction) between (.{1,80}?) and (.{1,80})$/i, ask: what },
  { pattern: /^compare (.{1,80}?) (?:and|with|to) (.{1,80})$/i, ask: what },
  { pattern: /^(\S+(?: \S+){0,2}) (?:vs\.?|versus) (\S+(?: \S+){0,2})$/i, ask: what },
  { pattern: /(\S+) (?:vs\.?|versus) ([^\s,]+)/i, ask: what },
  { pattern: /\bunterschiede? zwischen (.{1,80}?) und (.{1,80})$/i, ask: side => `Was ist ${side}?` },
  {
    pattern: /^(.{1,40}?)(?:和|与|跟|同)(.{1,40}?)(?:之间)?(?:的|有什么|有何|有)*(?:区别|不同|差别|差异)/,
    ask: side => spaced('什么是', `${side}？`),
  },
]

/** “A vs B”: the comparison itself, then each side. */
function comparison(question: string): string[] | undefined {
  for (const { pattern, ask } of COMPARISONS) {
    const [, first, second] = pattern.exec(question) ?? []
    if (first && second) return [question, ask(first.trim()), ask(second.trim())]
  }
  return undefined
}

function what(side: string): string {
  return `What is ${side.replace(/^(?:(?:what is|the|a|an) )+/i, '')}?`
}

/** “When should I use A and when B?”: each question word begins a question. */
function clauses(question: string): string[] | undefined {
  if (!BEGINS_ASKING.test(question)) return undefined
  const [first = '', ...others] = question.split(BETWEEN_CLAUSES)
  return [first, ...others.map(clause => capital(complete(clause, first)))]
}

/** “when B” after “When should I use A” means “when should I use B”. */
function complete(clause: string, first: string): string {
  const [asking = '', ...rest] = clause.split(/\s+/)
  const [firstAsking = '', auxiliary = '', ...firstRest] = first.split(/\s+/)
  const elliptic = asking.toLowerCase() === firstAsking.toLowerCase() && !AUXILIARY.test(rest[0] ?? '')
  const missing = firstRest.length - rest.length
  if (!elliptic || missing <= 0 || !AUXILIARY.test(auxiliary)) return clause
  return [asking, auxiliary, ...firstRest.slice(0, missing), ...rest].join(' ')
}

/** “什么时候用 A，什么时候用 B” */
function chineseClauses(question: string): string[] | undefined {
  return question.split(/[，,]\s*(?=什么|怎么|怎样|如何|为什么|何时|哪|谁|是否|能否)/)
}

/** “How do I start the server and connect a client”: two things that one subject does. */
function verbs(question: string): string[] | undefined {
  const [, subject, first, second] =
    /^(.*?\b(?:I|we|you|one|to))\s+(\S+(?:\s+\S+){0,8}?)\s+(?:and|or)\s+(\S+\s+(?:a|an|the|my|our|your|its?|from|to|with)\s.+)$/i.exec(
      question,
    ) ?? []
  if (!subject || !first || !second) return undefined
  // “start and stop the server”: the first verb has the object of the second.
  const object = /\s/.test(first) ? '' : second.slice(second.indexOf(' '))
  return [`${subject} ${first}${object}`, `${subject} ${second}`]
}

/** “What are sessions, runs and events”: what stands before the list asks about each of its items. */
function list(question: string): string[] | undefined {
  // An article stays with its word.
  const words = question.match(/(?:(?:an?|the|der|die|das|eine?) )?\S+/gi) ?? []
  const joint = words.length - 2
  if (joint < 1 || !new RegExp(`^(?:${JOINT})$`, 'i').test(words[joint]!)) return undefined
  let start = joint - 1
  while (words[start - 1]?.endsWith(',')) start--
  const names = [...words.slice(start, joint), ...words.slice(-1)]
  return names.map(name => [...words.slice(0, start), name.replace(/,$/, '')].join(' '))
}

/** “会话、运行和事件是什么” */
function chineseList(question: string): string[] | undefined {
  const [, names = '', rest = ''] =
    /^(.{1,80}?)(?:分别|各)?((?:是什么|是指什么|有什么用|怎么用|如何使用|怎么工作|如何工作).*)$/.exec(
      question,
    ) ?? []
  return names.split(/、|和|与|以及/).map(name => spaced(name.trim(), rest))
}

/** Joins Chinese text; a space only next to other scripts. */
function spaced(before: string, after: string): string {
  return /\p{Script=Han}$/u.test(before) && /^\p{Script=Han}/u.test(after)
    ? before + after
    : `${before} ${after}`
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
