/** Writes to stdout and stderr for a server, which must not stop or block when nobody reads them. */

/** Maximum amount of unread text, in bytes. More is dropped until the reader has caught up. */
export const OUTPUT_BYTES = 1024 * 1024

const guarded = new WeakSet<NodeJS.WritableStream>()

/** Without a listener, the error of a closed pipe (EPIPE) would end the process. */
function ignoreErrors(stream: NodeJS.WritableStream): void {
  if (guarded.has(stream)) return
  guarded.add(stream)
  stream.on('error', () => {})
}

/**
 * Writes a text, or drops it when the pipe is closed or more than {@link OUTPUT_BYTES} are unread. Never throws or
 * waits.
 */
export function writeOutput(stream: NodeJS.WritableStream & { writableLength: number }, text: string): void {
  ignoreErrors(stream)
  if (stream.writableLength <= OUTPUT_BYTES) stream.write(text)
}
