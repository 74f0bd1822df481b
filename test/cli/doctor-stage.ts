/** Runs the doctor on an address, and returns its report as data and as text. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { doctorCommand } from '../../src/cli/doctor/doctor.ts'
import { formatReport, type Report } from '../../src/cli/doctor/report.ts'
import { stream } from './stage.ts'

export interface DoctorRun {
  code: number
  report: Report
  text: string
  progress: string
}

/** When this process was not scheduled for longer, in ms, the doctor measured the machine and not the network. */
const PAUSED_MS = 80

const ATTEMPTS = 20

/** Runs it again while the machine is too busy for what the doctor measures, up to {@link ATTEMPTS} times. */
export async function runDoctor(
  url: string,
  silenceMs = 1000,
  headers: Record<string, string> = {},
): Promise<DoctorRun> {
  const delay = monitorEventLoopDelay({ resolution: 5 })
  for (let attempt = 1; ; attempt++) {
    delay.reset()
    delay.enable()
    const run = await runOnce(url, silenceMs, headers)
    delay.disable()
    if (delay.max / 1e6 < PAUSED_MS || attempt === ATTEMPTS) return run
  }
}

async function runOnce(url: string, silenceMs: number, headers: Record<string, string>): Promise<DoctorRun> {
  const [stdout, stderr] = [stream(), stream()]
  const { signal } = new AbortController()
  const code = await doctorCommand({ url, headers, silenceMs, json: true, stdout, stderr, signal, env: {} })
  const report = JSON.parse(stdout.text) as Report
  const text = formatReport(report, (_format, text) => text).join('\n')
  return { code, report, text, progress: stderr.text }
}

/** The codes of all faults, each once. */
export const codes = ({ faults }: Report) => [...new Set(faults.map(({ code }) => code))].sort()

/** The channels that work. */
export const working = ({ rows }: Report) => rows.filter(({ works }) => works).map(({ channel }) => channel)
