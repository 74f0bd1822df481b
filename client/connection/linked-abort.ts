/** Links abort signals without `AbortSignal.any`, which leaks memory on long-lived signals. */

/**
 * The controllers that follow each signal. Each signal has one listener for all its followers. The listener stays, even
 * with an empty set, as long as the signal exists.
 */
const followers = new WeakMap<AbortSignal, Set<LinkedAbortController>>()

/**
 * A controller that also aborts, with the same reason, as soon as one of its parents does. Its owner must call
 * `abort()` when the work is over; this unlinks the controller from its parents.
 *
 * `AbortSignal.any` is no substitute: Node 20 keeps a record of each combined signal on its sources as long as the
 * sources exist. A client that sent 15,000 commands had grown by 41 MB.
 */
export class LinkedAbortController extends AbortController {
  readonly #parents: AbortSignal[]

  constructor(...parents: (AbortSignal | undefined)[]) {
    super()
    this.#parents = parents.filter(parent => parent !== undefined)
    for (const parent of this.#parents) {
      if (parent.aborted) {
        this.abort(parent.reason)
        break
      }
      let linked = followers.get(parent)
      if (!linked) {
        linked = new Set()
        followers.set(parent, linked)
        parent.addEventListener('abort', abortFollowers)
      }
      linked.add(this)
    }
  }

  override abort(reason?: unknown): void {
    for (const parent of this.#parents) followers.get(parent)?.delete(this)
    super.abort(reason)
  }
}

/** Settles as `promise` does, or rejects with the signal's reason as soon as that aborts. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise
  return new Promise<T>((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort)
    promise.finally(() => signal.removeEventListener('abort', abort)).then(resolve, reject)
  })
}

function abortFollowers(this: AbortSignal): void {
  for (const follower of followers.get(this)!) follower.abort(this.reason)
}
