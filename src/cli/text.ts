/** Formats text for terminals. */

import { beginning } from '../protocol/index.ts'
import { printable } from '../protocol/printable.ts'

/** A value in one line of at most `width` characters. */
export function oneLine(value: unknown, width = 100): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
  const line = printable(text.replace(/\s+/g, ' ').trim())
  return line.length > width ? `${beginning(line, width - 1)}…` : line
}

/** `1 event`, `2 events`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

export function bytes(count: number): string {
  if (count < 1000) return `${count} B`
  if (count < 1_000_000) return `${(count / 1000).toFixed(1)} kB`
  return `${(count / 1_000_000).toFixed(1)} MB`
}

export function duration(ms: number): string {
  const seconds = ms / 1000
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 120) return `${Math.round(seconds)} s`
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`
}
