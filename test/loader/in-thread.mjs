/**
 * `module.registerHooks` for Node 20, whose own hooks run in a second thread: each import waits for it twice. That is a second of
 * CPU for each process that makes a server. Node 20's loader takes hooks of its own thread as well, from Node itself alone.
 */
import { createRequire } from 'node:module'

/** Gives false where Node does not show its internals (--expose-internals), or where others have registered hooks before. */
export function registerInThread({ load, resolve }, giveWay) {
  const internals = internal('internal/modules/esm/loader')
  if (!internals) return false
  const { defaultLoad } = internal('internal/modules/esm/load')
  const { initializeImportMeta } = internal('internal/modules/esm/initialize_import_meta')
  const loader = internals.getOrInitializeCascadedLoader()
  // Hooks in the second thread answer later.
  if (loader.resolve('node:module', import.meta.url, {}) instanceof Promise) return false

  const resolveSync = (specifier, parentURL, importAttributes) =>
    resolve(specifier, {}, name => loader.defaultResolve(name, parentURL, importAttributes))
  loader.setCustomizations({
    allowImportMetaResolve: true,
    resolve: resolveSync,
    resolveSync,
    load: async (url, context) => ({ responseURL: url, ...(await load(url, context, defaultLoad)) }),
    importMetaInitialize: initializeImportMeta,
    forceLoadHooks() {},
    // Whoever registers more hooks later gets them where Node 20 has them, with these ones before them.
    register(...hooks) {
      loader.setCustomizations(undefined)
      giveWay()
      return loader.register(...hooks)
    },
  })
  return true
}

function internal(name) {
  try {
    return createRequire(import.meta.url)(name)
  } catch {
    return undefined
  }
}
