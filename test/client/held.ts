/** What a process holds on to, as exactly as V8 can tell. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

/** Bytes that this process cannot give back. */
export function held(): number {
  gc()
  gc() // what the first found to be free gives its buffers back in the second
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
