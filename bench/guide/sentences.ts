/** Verdicts in sentences, for the page and for Markdown alike. Pure. */
import { measures } from '../../src/guide/index.ts'
import { transportNames } from './cells.ts'
import { COUNTS_MS, type Comparison, type Trial, type Verdict } from './verdict.ts'

const votes = (comparisons: readonly Comparison[], verdict: Verdict, better: Comparison['better']) =>
  comparisons
    .filter(({ measure, counts }) => counts && verdict.scenario.measures.includes(measure))
    .filter(comparison => comparison.better === better)
    .map(({ measure, text }) => `${measures[measure]} (${text})`)

/** What the scenario's own measures say, in one sentence. */
export function figuresText(verdict: Verdict): string {
  const { comparisons, speaksFor, wasMeasured, notJudged } = verdict
  if (!wasMeasured) return 'It was not measured in this run.'
  if (notJudged !== undefined) return `The figures decide nothing: ${notJudged}.`
  const [sse, websocket] = [votes(comparisons, verdict, 'sse'), votes(comparisons, verdict, 'websocket')]
  const reasons = [
    ...(sse.length > 0 ? [`for SSE ${sse.join(', ')}`] : []),
    ...(websocket.length > 0 ? [`for WebSocket ${websocket.join(', ')}`] : []),
  ]
  const spoken = speaksFor === 'neither' ? 'neither' : transportNames[speaksFor]
  return `The figures speak for ${spoken}${reasons.length > 0 ? `: ${reasons.join('; ')}` : ': none of its measures differs enough'}.`
}

/** What to use and why, what the figures say, and what the teaching text says. */
export function summaryOf(verdict: Verdict): string[] {
  const { guide, because, guideAgrees, teachingAgrees, scenario, wasMeasured } = verdict
  const use = `Use ${transportNames[guide]}: ${because.join('; ')}.`
  const figures = figuresText(verdict)
  const bornOut = wasMeasured && !guideAgrees ? ' They speak against the guide.' : ''
  const { teaching } = scenario
  if (!teaching) return [use, `${figures}${bornOut}`]
  const agrees = !wasMeasured
    ? ''
    : teachingAgrees
      ? ' The figures do not contradict it.'
      : ' The figures contradict it.'
  const holds = { yes: 'holds', 'in part': 'holds in part', no: 'does not hold' }[teaching.holds]
  return [
    use,
    `${figures}${bornOut}`,
    `The teaching text takes ${transportNames[teaching.transport]}.${agrees} Its reason: “${teaching.reason}” It ${holds}. ${teaching.because}`,
  ]
}

/** A reason that was put to the test. */
export function trialText({ claim, holds, hardly, figures }: Trial): string {
  if (holds === undefined) return `That ${claim}: not measured.`
  const by = hardly ? `, by less than ${COUNTS_MS} ms` : ''
  return `That ${claim}: ${holds ? 'holds' : 'does not hold'}${by}. ${figures}.`
}
