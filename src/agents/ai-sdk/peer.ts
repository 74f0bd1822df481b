/** Optional peers: packages that are loaded at first use. */
import { RunError } from '../agent.ts'

/**
 * Loads an optional peer.
 * @throws RunError `not-installed` that names the command which installs what is missing.
 */
export async function loadPeer<Module>(packages: string, load: () => Promise<Module>): Promise<Module> {
  try {
    return await load()
  } catch (cause) {
    if (!isMissing(cause)) throw cause
    throw notInstalled(packages, cause)
  }
}

/**
 * Makes sure that an optional peer can be loaded, without loading it.
 * @throws RunError `not-installed` that names the command which installs what is missing.
 */
export function requirePeer(name: string, packages: string): void {
  try {
    import.meta.resolve(name)
  } catch (cause) {
    throw notInstalled(packages, cause)
  }
}

function notInstalled(packages: string, cause: unknown): RunError {
  return new RunError(
    'not-installed',
    `This agent needs a package that is missing: npm install ${packages}`,
    {
      cause,
    },
  )
}

function isMissing(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  // Behind module hooks Node 20 hands the error over without its code.
  return (
    ('code' in error && error.code === 'ERR_MODULE_NOT_FOUND') || /^Cannot find package/.test(error.message)
  )
}
