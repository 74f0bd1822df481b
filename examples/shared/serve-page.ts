/** Serves the built page of an example from the example's own server. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TwinrailServer } from 'twinrail'

const files = {
  '/': ['index.html', 'text/html; charset=utf-8'],
  '/main.js': ['main.js', 'text/javascript; charset=utf-8'],
  '/main.js.map': ['main.js.map', 'application/json'],
  '/main.css': ['main.css', 'text/css; charset=utf-8'],
} as const

/** The page loads only its own files and talks only to its own server. */
const POLICY =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"

/**
 * Adds the routes of the page. Call it before `listen`, for a server with `page: false`.
 * @param folder the folder of the built page
 */
export function servePage(app: TwinrailServer['app'], folder: string): void {
  for (const [path, [file, type]] of Object.entries(files)) {
    // The pages of the package have no source maps.
    if (!existsSync(join(folder, file))) continue
    app.get(path, async (_, reply) =>
      reply
        .type(type)
        .header('content-security-policy', POLICY)
        .header('x-content-type-options', 'nosniff')
        .header('cache-control', 'no-cache')
        .send(await readFile(join(folder, file))),
    )
  }
}
