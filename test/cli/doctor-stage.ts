/** Has the doctor look at an address, and gives what it found as data and as a person reads it. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { doctorCommand } from '../../src/cli/doctor/doctor.ts'
import { picture } from '../../src/cli/doctor/picture.ts'
import type { Report } from '../../src/cli/doctor/report.ts'
import { stream } from './stage.ts'

export interface Seen {
  code: number
  report: Report
  text: string
  progress: string
}

/** A process that stood still for longer, in ms, tells the doctor of its machine and not of what lies between. */
const STOOD_STILL_MS = 80

/** Looks again while the machine is too busy for what the doctor measures, but not for ever. */
const LOOKS = 20

export async function seeDoctor(
  url: string,
  silenceMs = 1000,
  headers: Record<string, string> = {},
): Promise<Seen> {
  const delay = monitorEventLoopDelay({ resolution: 5 })
  for (let look = 1; ; look++) {
    delay.reset()
    delay.enable()
    const seen = await lookOnce(url, silenceMs, headers)
    delay.disable()
    if (delay.max / 1e6 < STOOD_STILL_MS || look === LOOKS) return seen
  }
}

async function lookOnce(url: string, silenceMs: number, headers: Record<string, string>): Promise<Seen> {
  const [stdout, stderr] = [stream(), stream()]
  const { signal } = new AbortController()
  const code = await doctorCommand({ url, headers, silenceMs, json: true, stdout, stderr, signal, env: {} })
  const report = JSON.parse(stdout.text) as Report
  const text = picture(report, (_format, text) => text).join('\n')
  return { code, report, text, progress: stderr.text }
}

/** Codes of what is wrong, each once. */
export const codes = ({ faults }: Report) => [...new Set(faults.map(({ code }) => code))].sort()

/** Which ways work. */
export const working = ({ rows }: Report) => rows.filter(({ works }) => works).map(({ way }) => way)
