/** `twinrail doctor <url>`: tries every transport through whatever lies between, and says in plain words what works. */
import { styleText } from 'node:util'
import { exitCodes } from '../exit.ts'
import { type Environment, type Output, Screen } from '../screen.ts'
import { StatusLine } from '../status-line.ts'
import { diagnose, hopeless } from './diagnose.ts'
import { examine } from './examine.ts'
import { type Paint, picture } from './picture.ts'
import { NothingToExamine } from './reach.ts'
import type { Report } from './report.ts'
import { now } from './time.ts'

export interface DoctorOptions {
  url: string
  /** Sent with every request. */
  headers: Record<string, string>
  /** How long to be silent, to see whether something cuts in, in ms. */
  silenceMs: number
  /** Print the report as JSON instead. */
  json: boolean
  stdout: Output
  stderr: Output
  /** Aborts on Ctrl-C. */
  signal: AbortSignal
  /** @default process.env */
  env?: Environment
}

/** @returns the process's exit code: 0 when all is well, 1 when something is wrong */
export async function doctorCommand(options: DoctorOptions): Promise<number> {
  const { signal, json, stdout, stderr, env = process.env } = options
  const screen = new Screen(stdout, stderr, env)
  try {
    const report = await examined(options, screen)
    if (json) screen.line(JSON.stringify(report, null, 2))
    else for (const line of picture(report, painter(stdout, env))) screen.line(line)
    return report.well ? exitCodes.completed : exitCodes.failed
  } catch (error) {
    if (signal.aborted) return exitCodes.interrupted
    throw error
  }
}

async function examined(options: DoctorOptions, screen: Screen): Promise<Report> {
  const { url, headers, silenceMs, signal, stderr, env = process.env } = options
  const status = new StatusLine(stderr, env)
  let doing = ''
  let until = 0
  status.start(() => {
    const left = Math.ceil((until - now()) / 1000)
    return left > 0 ? `${doing} · ${left} s at the most` : doing
  })
  const onStep = (step: string, forMs: number) => {
    doing = step
    until = now() + forMs
    screen.note(`· ${step}`)
  }
  try {
    return diagnose(await examine({ url, headers, silenceMs, signal, onStep }))
  } catch (error) {
    if (error instanceof NothingToExamine) return hopeless(url, error.code, error.message)
    throw error
  } finally {
    status.stop()
  }
}

/** Colours only where a person looks. */
function painter(stdout: Output, env: Environment): Paint {
  const coloured = Boolean(stdout.isTTY) && !env['NO_COLOR'] && env['TERM'] !== 'dumb'
  return (format, text) => (coloured ? styleText(format, text, { validateStream: false }) : text)
}
