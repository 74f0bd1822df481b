/** The page at `/`. */
import { readFile } from 'node:fs/promises'
import type { FastifyInstance } from 'fastify'

const files = {
  '/': { file: 'index.html', type: 'text/html; charset=utf-8' },
  '/page.js': { file: 'page.js', type: 'text/javascript; charset=utf-8' },
  '/icon.svg': { file: 'icon.svg', type: 'image/svg+xml' },
  '/page.css': { file: 'page.css', type: 'text/css; charset=utf-8' },
} as const

/** @param folder where the page's files are */
export function pageRoutes(app: FastifyInstance, folder: URL): void {
  for (const [path, { file, type }] of Object.entries(files)) {
    app.get(path, async (_request, reply) => {
      reply
        .type(type)
        .header('cache-control', 'no-cache')
        .header('content-security-policy', "default-src 'self'; frame-ancestors 'none'")
        .header('x-content-type-options', 'nosniff')
      return readFile(new URL(file, folder))
    })
  }
}
