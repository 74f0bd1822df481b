/**
 * Cuts text into words, search terms, sentences and stream deltas. Everything rests on `Intl.Segmenter`, which knows
 * scripts without spaces.
 */

const wordSegmenter = new Intl.Segmenter('en', { granularity: 'word' })
const sentenceSegmenter = new Intl.Segmenter('en', { granularity: 'sentence' })

/**
 * Longest text given to a segmenter in one call, in chars. V8 segments in time quadratic in the length (1 MiB took 290 s).
 */
const SLICE_CHARS = 1_000

/** A sentence is continued over an abbreviation or an open bracket only while it is shorter than this, in chars. */
const MAX_JOINED_SENTENCE_CHARS = 600

const ABBREVIATION =
  /(?:^|[\s(])(?:e\.g|i\.e|cf|vs|etc|approx|resp|sec|fig|no|dr|mr|mrs|z\.\s?B|d\.\s?h|bzw|ca|vgl)\.\s*$/i

const HAN_CHARACTER = /^\p{Script=Han}$/u

/** Splits text into slices of at most `size` chars: at a space where possible, never inside a surrogate pair. */
export function* slices(text: string, size: number): Generator<string> {
  let start = 0
  while (text.length - start > size) {
    const end = start + size
    const afterSpace = text.lastIndexOf(' ', end - 1) + 1
    const splitsPair = /[\uD800-\uDBFF]/.test(text[end - 1] ?? '')
    const cut = afterSpace > start + size / 2 ? afterSpace : splitsPair ? end - 1 : end
    yield text.slice(start, cut)
    start = cut
  }
  if (start < text.length) yield text.slice(start)
}

/** Joins the lines of one paragraph with spaces; between two Han or kana characters a line break is no space. */
export function joinLines(lines: readonly string[]): string {
  return lines
    .map(line => line.trim())
    .filter(line => line !== '')
    .join('\n')
    .replace(
      /(?<=[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}，。、；：！？])\n(?=[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}])/gu,
      '',
    )
    .replaceAll('\n', ' ')
}

/**
 * The search terms of a text, in text order, repetitions included. A term is a stemmed word without case and accents;
 * stop words are left out, and a name such as `run.started` gives one term for each of its parts. Two adjacent Han
 * characters that the dictionary does not join also give a term together, since most new Chinese words are such pairs.
 */
export function terms(text: string): string[] {
  const found: string[] = []
  let previousHan = ''
  for (const word of words(text)) {
    const isStopWord = stopWords.has(word)
    const han = HAN_CHARACTER.test(word) && !isStopWord ? word : ''
    if (han && previousHan) found.push(previousHan + han)
    previousHan = han
    if (!isStopWord) found.push(...nameParts(word).map(stem))
  }
  return found
}

function* words(text: string): Generator<string> {
  for (const slice of slices(text, SLICE_CHARS)) {
    for (const { segment, isWordLike } of wordSegmenter.segment(slice)) if (isWordLike) yield fold(segment)
  }
}

/** Removes case and accents. */
function fold(word: string): string {
  const unaccented = word.normalize('NFKD').replace(/[\u0300-\u036f]/g, '')
  return unaccented.normalize('NFC').toLowerCase().replace(/’/g, "'")
}

function nameParts(word: string): string[] {
  const parts = word.split(/[._:'·]+/).filter(part => part !== '')
  return parts.length === 1 ? parts : parts.filter(part => !/^[a-z]$/.test(part) && !stopWords.has(part))
}

/** The sentences of a text, trimmed. A sentence never ends at an abbreviation, inside brackets or inside `code`. */
export function sentences(text: string): string[] {
  const found: string[] = []
  let open = ''
  for (const slice of slices(text, 2 * SLICE_CHARS)) {
    for (const { segment } of sentenceSegmenter.segment(slice)) {
      open += segment
      const continues = ABBREVIATION.test(open) || isUnbalanced(open)
      if (continues && open.length < MAX_JOINED_SENTENCE_CHARS) continue
      found.push(open.trim())
      open = ''
    }
  }
  found.push(open.trim())
  return found.filter(sentence => sentence !== '')
}

function isUnbalanced(text: string): boolean {
  const count = (pattern: RegExp) => text.match(pattern)?.length ?? 0
  return count(/`/g) % 2 === 1 || count(/[(（]/g) > count(/[)）]/g)
}

/** Splits an answer into the deltas that it is streamed in, about one word each. Joined, they are the text again. */
export function* deltas(text: string): Generator<string> {
  let delta = ''
  let afterWord = false
  for (const slice of slices(text, SLICE_CHARS)) {
    for (const { segment, isWordLike = false } of wordSegmenter.segment(slice)) {
      const startsAfterSpace = /\S/.test(segment) && /\s$/.test(delta)
      if (delta && (startsAfterSpace || (isWordLike && afterWord))) {
        yield delta
        delta = ''
      }
      delta += segment
      afterWord = isWordLike
    }
  }
  if (delta) yield delta
}

/**
 * The stem that the forms of an English word share, so that “cancelled” matches “cancel”. Stems are for comparison, not
 * for display. Words with anything but a–z are returned unchanged.
 */
export function stem(word: string): string {
  if (!/^[a-z]{3,}$/.test(word)) return word
  return withoutTense(singular(word))
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

/**
 * Words that are never search terms: English, German, French, Spanish, Chinese and Japanese function words. Lower case,
 * in the form that `Intl.Segmenter` cuts.
 */
const stopWords: ReadonlySet<string> = new Set(
  `
a about after again all also am an and any anybody anyone anything are aren't as at be became because been being
both but by came can can't cannot come could couldn't did didn't do does
doesn't doing don't done each either else ever every everything explain for from gave give gives go
goes going got had has have haven't having he hello her here hers hey hi him
his how how's i i'd i'm i've if in into is isn't it it's its just know let let's like many may
me might mine more most much must my neither no nor not of off ok okay on once one only onto or
other our ours out over own per please quite rather really said same say says see shall she should shouldn't so some
something sort still such sure tell than thank thanks that that's the their theirs them then there there's these they
they're thing things this those through to too try understand until up upon us versus very via vs was
wasn't way ways we we're well were what what's whatever when when's whenever where where's whether which while who
who's whom whose why will with within without won't working would wouldn't yes yet you you're your yours
aber alle als am an auch auf aus bei bin bis bitte da damit danke dann das dass dem den der des die dies diese dieser
dieses doch du durch ein eine einem einen einer eines er erkläre es für gibt hallo hat habe haben ich ihr im in ist
ja kann kein keine können macht man mein mich mir mit muss nach nein nicht noch nur ob oder sein sich sie
sind so soll sollte über um und uns unter vom von vor wann war warum was welche welcher
welches wenn wer werden wie wieso wird wir wo wozu zu zum zur zwischen
au aux avec ce ces cette comment dans de des donc du elle en est et eux il ils je la le les leur lui mais ne nous
ou où par pas pour pourquoi qu quand que quel quelle quels quelles qui quoi sa se ses si son sont sur un une vous
al como con cuando cuál cómo cuándo del donde dónde el ella es esta este hay las lo los más mi no para pero por qué
que se si sin son su sus un una y
的 了 吗 呢 吧 啊 是 在 有 和 与 及 或 跟 以及 还是 或者 也 都 就 而 但 但是 如果 这 那 这个 那个 它 他 她 我 你 您 我们 你们
他们 什么 什么是 怎么 怎样 怎么样 如何 为什么 为何 哪 哪个 哪些 哪里 谁 何时 什么时候 时候 多少 几 请 请问 谢谢 你好 应该 应当 可以
能 会 要 想 时 对 从 到 把 被 给 让 之间 分别 一个 一下 没有 不
は が を に の と も で へ か です ます する 何 なぜ どう どの いつ どこ これ それ この その
`
    .trim()
    .split(/\s+/),
)

/**
 * Words that are search terms with a low weight: they are often part of a question and seldom its subject. Lower case.
 */
export const weakWords: ReadonlySet<string> = new Set(
  `
add adding build building choose compare comparison create created creating define difference different differences
differ get gets getting handle happen happened happening happens help make makes making made mean means need needs use
used uses useful using want wants work working works write writing
benutzen nutzen passiert unterschied unterschiede verwenden
用 使用 区别 不同 差别 需要 发生 选择 比较
`
    .trim()
    .split(/\s+/),
)
