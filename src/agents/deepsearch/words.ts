/** Lists of words: which are never searched for, which count little, and which stand for one another. */

/**
 * Words that are never search terms: English, German, French, Spanish, Chinese and Japanese function words. Lower case,
 * in the form that `Intl.Segmenter` cuts.
 */
export const stopWords: ReadonlySet<string> = new Set(
  `
a about again all also am an and any anybody anyone anything are aren't as at be became because been being
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
 * Words that are search terms with a low weight: they are often part of a question and seldom its subject. Some ask for
 * a kind of answer, such as a number or a period. Lower case.
 */
export const weakWords: ReadonlySet<string> = new Set(
  `
add adding after answer answers arrive arrives bad before best better big build building choose compare comparison
create created creating deal define difference different differences differ easy get gets getting good handle happen
happened happening happens help high hold holds keep keeps kind large long look looks low make makes making many mean
means need needs number open opening possible put right several short show small sort take takes turn try use used uses useful
using value want wants way work working works write writing wrong
benutzen nutzen passiert unterschied unterschiede verwenden
用 使用 区别 不同 差别 需要 发生 选择 比较 期限 期间 时间 时长 天数 次数 数量 数目 方法 方式 办法 步骤 流程 原因 地方 大小 种类
`
    .trim()
    .split(/\s+/),
)

/** Irregular forms of English words: the base form, then the forms that stand for it. */
const IRREGULAR_FORMS = `
become became/begin began begun/break broke broken/build built/buy bought/catch caught/child children/choose chose chosen
/die dying/draw drew drawn/drive drove driven/fall fell fallen/feed fed/find found/forget forgot forgotten/freeze froze
frozen/hide hid hidden/hold held/index indices indexes/keep kept/know knew known/lead led/leave left/lie lying/lose lost
/matrix matrices/mean meant/meet met/person people/rise rose risen/run ran/say said/see seen/seek sought/sell sold/send
sent/shake shook shaken/shut shutting/speak spoke spoken/spend spent/spin spun/steal stole stolen/swap swapping/swim swam
swum/take took taken/teach taught/tear tore torn/tell told/think thought/throw threw thrown/tie tying/understand
understood/vertex vertices/wake woke woken/wear wore worn/write wrote written
`

/** The base form of each irregular form. */
export const irregularForms: ReadonlyMap<string, string> = new Map(
  IRREGULAR_FORMS.replaceAll('\n', ' ')
    .split('/')
    .map(family => family.trim().split(/\s+/))
    .flatMap(([base = '', ...forms]) => forms.map((form): [string, string] => [form, base])),
)

/** Words that software documents shorten, each with its short forms. */
const SHORT_FORMS =
  'administrator admin,application app,argument arg,authentication auth,configuration config,database db,directory dir,' +
  'document doc,documentation docs,environment env,function func,information info,initialize init,maximum max,' +
  'minimum min,parameter param,repository repo,specification spec,synchronous sync,asynchronous async,temporary temp'

/** For each of these words the words that mean the same. */
export const sameWords: ReadonlyMap<string, string> = new Map(
  SHORT_FORMS.split(',')
    .map(pair => pair.split(' ') as [string, string])
    .flatMap(([long, short]): [string, string][] => [
      [long, short],
      [short, long],
    ]),
)
