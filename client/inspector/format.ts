/** How the page writes numbers, times and ids. */

/** 1234567 → 1.2M */
export function short(count: number): string {
  if (count < 1000) return String(Math.round(count))
  if (count < 1e6) return `${trim(count / 1e3)}k`
  if (count < 1e9) return `${trim(count / 1e6)}M`
  return `${trim(count / 1e9)}G`
}

export function size(bytes: number): string {
  if (bytes < 1024) return `${Math.round(bytes)} B`
  if (bytes < 1024 ** 2) return `${trim(bytes / 1024)} KiB`
  if (bytes < 1024 ** 3) return `${trim(bytes / 1024 ** 2)} MiB`
  return `${trim(bytes / 1024 ** 3)} GiB`
}

const trim = (value: number) =>
  value < 10 ? value.toFixed(1).replace(/\.0$/, '') : String(Math.round(value))

/** 14:03:27.041 */
export function clock(ms: number): string {
  const date = new Date(ms)
  return `${date.toLocaleTimeString('en-GB')}.${String(date.getMilliseconds()).padStart(3, '0')}`
}

export function day(ms: number): string {
  return new Date(ms).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'medium' })
}

/** A stretch of time in its largest unit. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`
  return `${Math.floor(seconds / 86_400)} d`
}

/** The number of an offset. */
export const seqOf = (offset: string) => Number(offset.slice(offset.indexOf('-') + 1))

/** A colour for each run, the same everywhere on the page: one of eight. */
export function hueOf(runId: string): number {
  let hash = 0
  for (const letter of runId) hash = (hash * 31 + letter.charCodeAt(0)) | 0
  return Math.abs(hash) % 8
}
