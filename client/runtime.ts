/** What the client needs of the program that runs it: client/README.md, "React Native, Expo and old browsers". */

const needed = ['TextDecoder', 'crypto.getRandomValues', 'AbortSignal.prototype.throwIfAborted']

/** @param fetch the function that sends requests @throws TypeError naming everything that is missing */
export function checkRuntime(fetch: unknown): void {
  const missing = needed.filter(
    // biome-ignore lint/suspicious/noExplicitAny: nothing of it is sure
    path => !path.split('.').reduce((at: any, name) => at?.[name], globalThis),
  )
  if (!fetch) missing.unshift('fetch')
  if (missing.length > 0)
    throw new TypeError(`This runtime lacks ${missing.join(', ')}: see twinrail-client/README.md`)
}
