/** Tells when it is worth looking at the network at once: it came back, or the page did. */

/** Calls `listener` when the page comes online, into view or out of the back-forward cache; gives the way to stop. */
export function onWake(listener: () => void): () => void {
  const { document } = globalThis
  const seen = () => {
    if (document?.visibilityState !== 'hidden') listener()
  }
  // Node has neither a window nor a document
  const targets = [
    [globalThis, 'online'],
    [globalThis, 'pageshow'],
    [document, 'visibilitychange'],
  ] as const
  for (const [target, type] of targets) target?.addEventListener?.(type, seen)
  return () => {
    for (const [target, type] of targets) target?.removeEventListener?.(type, seen)
  }
}
