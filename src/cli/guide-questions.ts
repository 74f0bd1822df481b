/** The input of the guide on a command line: flags, or answers to questions. */
import { createInterface } from 'node:readline/promises'
import { GuideQuery, GuideQuestion, scenarioNames, scenarios } from '../guide/index.ts'
import type { Input } from './questions.ts'
import type { Output } from './screen.ts'

/** The flag for each property of the guide's input, with its help text. */
export const guideFlags = Object.entries({
  scenario: '--scenario <name>',
  upstreamPerSecond: '--upstream <per second>',
  sessions: '--sessions <count>',
  connections: '--connections <count>',
  binary: '--binary',
  mobile: '--mobile',
  headers: '--headers',
  plainHttp: '--plain-http',
  buffers: '--buffers',
  stripsUpgrade: '--strips-upgrade',
  cutsIdleAfterSeconds: '--cuts-idle <seconds>',
  webSocket: '--no-websocket',
  streams: '--no-streams',
} satisfies Record<keyof GuideQuestion, string>).map(([name, flag]) => ({
  name: name as keyof GuideQuestion,
  flag,
  about: aboutOf(name as keyof GuideQuestion),
}))

function aboutOf(name: keyof GuideQuestion): string {
  if (name === 'webSocket') return 'the client has no WebSocket'
  if (name === 'streams') return 'the client cannot read a response as a stream'
  const about = GuideQuestion.shape[name].unwrap().description ?? ''
  return name === 'scenario' ? `${about}: ${scenarioNames.join(', ')}` : about
}

/** Typed values by property, in the form of a query string. */
export type Typed = Partial<Record<keyof GuideQuestion, string>>

interface Question {
  readonly text: string
  /** Parses a line; `undefined` when it is invalid. */
  read(line: string): Typed | undefined
  readonly hint: string
}

const number = (text: string, name: keyof GuideQuestion, preset: string): Question => ({
  text: `${text} [${preset}]`,
  read: line => ({ [name]: line || preset }),
  hint: 'Type a number.',
})

const yesOrNo = (text: string, yes: Typed): Question => ({
  text: `${text} [y/N]`,
  read: line => (/^y(es)?$/i.test(line) ? yes : /^(no?)?$/i.test(line) ? {} : undefined),
  hint: 'Type y or n.',
})

const scenarioQuestion: Question = {
  text: [
    'What do you build?',
    ...scenarioNames.map(
      (name, i) => `${String(i + 1).padStart(3)} ${name.padEnd(11)} ${scenarios[name].title}`,
    ),
    'Number or name, or Enter for something else',
  ].join('\n'),
  read(line) {
    if (line === '') return {}
    return { scenario: scenarioNames[Number(line) - 1] ?? line }
  },
  hint: `Type a number from 1 to ${scenarioNames.length} or a name.`,
}

const usageQuestions = [
  number(
    'How many commands a second does one client send, moves and cursor positions among them?',
    'upstreamPerSecond',
    '0',
  ),
  number('How many sessions does one client follow at a time?', 'sessions', '1'),
  yesOrNo('Do browsers reach the server over HTTP/1.1 only?', { connections: '6' }),
]

const networkQuestions = [
  yesOrNo('Must a page send headers, as for a token?', { headers: 'true' }),
  yesOrNo('Does a proxy strip the upgrade of WebSockets? (`twinrail doctor` finds out)', {
    stripsUpgrade: 'true',
  }),
  yesOrNo('Does a proxy buffer responses?', { buffers: 'true' }),
]

/**
 * Asks for the scenario, for details of the usage when none fits, and then for the network.
 * @param signal ends the questions
 * @throws the signal's reason; an `AbortError` on Ctrl-C or Ctrl-D
 */
export async function askPerson(stdin: Input, stderr: Output, signal: AbortSignal): Promise<Typed> {
  const left = new AbortController()
  const lines = createInterface({ input: stdin, output: stderr })
  lines.on('close', () => left.abort())
  const until = { signal: AbortSignal.any([signal, left.signal]) }
  const ask = async ({ text, read, hint }: Question): Promise<Typed> => {
    for (;;) {
      const typed = read((await lines.question(`${text}: `, until)).trim())
      if (typed && GuideQuery.safeParse(typed).success) return typed
      stderr.write(`${hint}\n`)
    }
  }
  try {
    const answers = [await ask(scenarioQuestion)]
    const rest = answers[0]?.scenario ? networkQuestions : [...usageQuestions, ...networkQuestions]
    for (const question of rest) answers.push(await ask(question))
    return Object.assign({}, ...answers)
  } finally {
    lines.close()
  }
}
