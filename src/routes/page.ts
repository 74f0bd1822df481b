/** The playground page at `/`, built by Vite. */
import { readFile } from 'node:fs/promises'
import type { FastifyInstance, FastifyReply } from 'fastify'

const types: Record<string, string> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
}

/** @param folder the folder of the built files */
export function pageRoutes(app: FastifyInstance, folder: URL): void {
  const send = async (reply: FastifyReply, file: string, cache: string) => {
    reply
      .header('content-security-policy', "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'")
      .header('x-content-type-options', 'nosniff')
    const bytes = await readFile(new URL(file, folder)).catch(() => undefined)
    if (!bytes)
      return reply
        .code(404)
        .type('text/plain')
        .send('This page is not built yet. Build it with: npm run build\n')
    return reply
      .type(types[file.split('.').at(-1)!] ?? 'application/octet-stream')
      .header('cache-control', cache)
      .send(bytes)
  }
  app.get('/', { schema: { hide: true } }, (_request, reply) => send(reply, 'index.html', 'no-cache'))
  app.get<{ Params: { file: string } }>('/assets/:file', { schema: { hide: true } }, (request, reply) => {
    const { file } = request.params
    if (!/^[A-Za-z0-9_-][\w.-]*$/.test(file)) return reply.callNotFound()
    // Their names contain a hash of their content.
    return send(reply, `assets/${file}`, 'public, max-age=31536000, immutable')
  })
}
