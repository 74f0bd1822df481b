/** What is asked for beside the words of a question: the kind of its answer. */

/** What kind of answer a question wants, and the words that such answers are written with. */
const KINDS: readonly { asks: RegExp; answers: string }[] = [
  {
    asks: /\bshould\b|\bwhen (?:do|to)\b|\bwhich .*\b(?:choose|pick|use)\b|\b(?:vs|versus|difference|compare|instead|sollte?|wann|unterschied)\b|什么时候|何时|应该|该用|区别|选/i,
    answers:
      'use choose prefer recommended suits best advice instead enough needs 选择 适合 推荐 优先 verwenden empfohlen bevorzugen',
  },
  {
    asks: /\bhow (?:do|can|to)\b|\bwie\b|如何|怎么|怎样/i,
    answers: 'send call set run start use example 调用 发送 设置 运行',
  },
]

/** Words that an answer to this question is likely to hold. */
export function hintsOf(question: string): string {
  return KINDS.filter(({ asks }) => asks.test(question))
    .map(({ answers }) => answers)
    .join(' ')
}
