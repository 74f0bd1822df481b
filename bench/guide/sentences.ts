/** Verdicts in sentences. Pure. */
import { measureName } from '../package/guide.ts'
import { transportNames } from './cells.ts'
import { COUNTS_MS, type Comparison, ownMeasures, type Trial, type Verdict } from './verdict.ts'

const votes = (comparisons: readonly Comparison[], verdict: Verdict, better: Comparison['better']) =>
  comparisons
    .filter(({ measure, counts }) => counts && ownMeasures(verdict.scenario).includes(measure))
    .filter(comparison => comparison.better === better)
    .map(({ measure, text }) => `${measureName(measure)} (${text})`)

/** The result of the scenario's own measures in one sentence. */
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
  return `The figures favour ${spoken}${reasons.length > 0 ? `: ${reasons.join('; ')}` : ': none of its measures differs enough'}.`
}

/** What to use and why, what the figures show, and what the tutorial recommends. */
export function summaryOf(verdict: Verdict): string[] {
  const { guide, because, guideAgrees, tutorialAgrees, scenario, wasMeasured } = verdict
  const use = `Use ${transportNames[guide]}: ${because.join('; ')}.`
  const figures = figuresText(verdict)
  const contradiction = wasMeasured && !guideAgrees ? ' They contradict the guide.' : ''
  const { teaching: tutorial } = scenario
  if (!tutorial) return [use, `${figures}${contradiction}`]
  const agrees = !wasMeasured
    ? ''
    : tutorialAgrees
      ? ' The figures do not contradict it.'
      : ' The figures contradict it.'
  const holds = { yes: 'holds', 'in part': 'holds in part', no: 'does not hold' }[tutorial.holds]
  return [
    use,
    `${figures}${contradiction}`,
    `The tutorial recommends ${transportNames[tutorial.transport]}.${agrees} Its reason: “${tutorial.reason}” It ${holds}. ${tutorial.because}`,
  ]
}

/** A reason of the tutorial that was tested. */
export function trialText({ claim, holds, hardly, figures }: Trial): string {
  if (holds === undefined) return `That ${claim}: not measured.`
  const by = hardly ? `, by less than ${COUNTS_MS} ms` : ''
  return `That ${claim}: ${holds ? 'holds' : 'does not hold'}${by}. ${figures}.`
}
