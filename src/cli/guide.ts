/** `twinrail guide`: recommends a transport, with reasons. Needs no server. */
import { styleText } from 'node:util'
import { type Advice, advise, adviseOnAll, GuideQuery, transportNames } from '../guide/index.ts'
import { exitCodes } from './exit.ts'
import { askPerson, guideFlags, type Typed } from './guide-questions.ts'
import type { Input } from './questions.ts'
import { type Environment, type Format, type Output, Screen } from './screen.ts'

export interface GuideOptions {
  /** Values of the flags. Without any, the command asks questions on a terminal. */
  typed: Typed
  /** Print the recommendation as `GET /v1/guide` answers it. */
  json: boolean
  stdout: Output
  stderr: Output
  stdin: Input
  /** Aborts on Ctrl-C. */
  signal: AbortSignal
  /** @default process.env */
  env?: Environment
}

/** @returns the process's exit code */
export async function guideCommand(options: GuideOptions): Promise<number> {
  const { json, stdout, stderr, stdin, signal, env = process.env } = options
  const screen = new Screen(stdout, stderr, env)
  let { typed } = options
  if (Object.keys(typed).length === 0) {
    if (json) {
      screen.json(JSON.stringify({ scenarios: adviseOnAll() }, null, 2))
      return exitCodes.completed
    }
    if (!stdin.isTTY || !stderr.isTTY) {
      screen.note(
        'There is no terminal to ask questions on. Use flags, such as --scenario chat or --upstream 5;',
        'red',
      )
      screen.note(
        '`twinrail guide --help` lists them, and `twinrail guide --json` prints every scenario.',
        'red',
      )
      return exitCodes.refused
    }
    try {
      typed = await askPerson(stdin, stderr, signal)
    } catch (error) {
      if ((error as Error).name !== 'AbortError') throw error
      return exitCodes.interrupted
    }
  }
  const question = GuideQuery.safeParse(typed)
  if (!question.success) {
    for (const { path, message } of question.error.issues) {
      const [flag] = guideFlags.find(({ name }) => name === path[0])?.flag.split(' ') ?? []
      screen.note(`${flag}: ${message}`, 'red')
    }
    return exitCodes.refused
  }
  const advice = advise(question.data)
  const colours = Boolean(stdout.isTTY) && !env['NO_COLOR'] && env['TERM'] !== 'dumb'
  const paint: Paint = (format, text) => (colours ? styleText(format, text, { validateStream: false }) : text)
  if (json) screen.json(JSON.stringify(advice, null, 2))
  else for (const line of formatAdvice(advice, paint)) screen.styled(line)
  return exitCodes.completed
}

type Paint = (format: Format, text: string) => string

function formatAdvice(
  { title, about, transport, because, fallback, evidence, measured, teaching }: Advice,
  paint: Paint,
) {
  const [first, ...others] = [transport, ...fallback].map(each => transportNames[each])
  const otherwise = others.length > 0 ? ` Otherwise ${others.join(', then ')}.` : ''
  const lines = [
    `${paint('bold', `Use ${first}.`)}${otherwise}`,
    ...because.map(({ rule, text }) => `  ${text} ${paint('dim', `(${rule})`)}`),
  ]
  if (title) lines.unshift(`${paint('bold', title)}: ${about}`, '')
  if (measured) {
    const { networks } = measured
    const textsOf = (network: boolean) =>
      evidence.filter(({ id }) => id.startsWith('networks/') === network).map(({ text }) => `  ${text}`)
    lines.push('', paint('dim', `Measured on ${measured.date}, ${measured.machine}:`), ...textsOf(false))
    if (networks) {
      const where = `Through an imitated network, on ${networks.date}, ${networks.machine}:`
      lines.push(paint('dim', where), ...textsOf(true))
    }
  } else lines.push('', paint('dim', 'There are no measurements yet; `npm run bench` makes them.'))
  if (teaching) {
    const { reason, holds, because: why } = teaching
    const judged = { yes: 'That holds.', 'in part': 'That holds in part.', no: 'That does not hold.' }[holds]
    lines.push(
      '',
      `The tutorial that this guide was checked against recommends ${transportNames[teaching.transport]}: “${reason}” ${paint('bold', judged)} ${why}`,
    )
  }
  return lines
}
