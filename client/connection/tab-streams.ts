/** Counts the event streams that all tabs of the browser have to a server: over HTTP/1.1 they share six connections. */

/** The part of Web Locks that is used. */
interface Locks {
  request(name: string, options: { mode: 'shared' }, held: () => Promise<void>): Promise<unknown>
  query(): Promise<{ held?: { name?: string }[] }>
}

/**
 * Notes a stream of this tab for the others, until it is released. The note is a shared lock, which a browser takes away
 * when the tab is gone. Without Web Locks, which pages over plain HTTP do not have, it does nothing.
 * @param server the server's address, as the client got it
 * @param onCount receives the number of streams that all tabs have, this one included; the note goes unless it returns true
 * @returns releases the note
 */
export function noteStream(server: string, onCount: (streams: number) => boolean): () => void {
  // Node has Web Locks as well, and no bound on connections.
  const page = globalThis as { document?: unknown; navigator?: { locks?: Locks } }
  const locks = page.document ? page.navigator?.locks : undefined
  const name = `twinrail stream ${server}`
  let release = () => {}
  const released = new Promise<void>(resolve => {
    release = resolve
  })
  const noted = async () => {
    const { held = [] } = await locks!.query()
    if (onCount(held.filter(lock => lock.name === name).length)) await released
  }
  // Refused where storage is blocked: then only this tab's streams count.
  locks?.request(name, { mode: 'shared' }, noted).catch(() => {})
  return release
}
