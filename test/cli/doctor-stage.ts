/** Has the doctor look at an address, and gives what it found as data and as a person reads it. */
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

export async function seeDoctor(
  url: string,
  silenceMs = 1000,
  headers: Record<string, string> = {},
): Promise<Seen> {
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
