/** One clock for all processes of the machine. */

/** µs on the machine's monotonic clock. */
export function micros(): number {
  const [seconds, nanos] = process.hrtime()
  return seconds * 1e6 + nanos / 1e3
}
