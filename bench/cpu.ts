/** CPU of other processes, from Linux's /proc. */
import { readFileSync } from 'node:fs'

/** User and system time of a process with all its threads, in µs: the 14th and 15th field of its stat, in ticks of 10 ms. */
export function cpuOf(pid: number | string): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10_000
}
