/** Writes to stdout and stderr of the process for a server, which goes on whether anybody reads them or not. */

/** Text that may wait for a reader, in bytes. More is dropped until the reader has taken it. */
export const OUTPUT_BYTES = 1024 * 1024

const guarded = new WeakSet<NodeJS.WritableStream>()

/** Without a listener, the error of a closed pipe (EPIPE) would end the process. */
function ignoreErrors(stream: NodeJS.WritableStream): void {
  if (guarded.has(stream)) return
  guarded.add(stream)
  stream.on('error', () => {})
}

/**
 * Writes a text, or drops it when the reader is gone or has more than {@link OUTPUT_BYTES} to read already. Never
 * throws, never waits.
 */
export function writeOutput(stream: NodeJS.WritableStream & { writableLength: number }, text: string): void {
  ignoreErrors(stream)
  if (stream.writableLength <= OUTPUT_BYTES) stream.write(text)
}
