/** The playground page at `/`, built by Vite. */
import { readFile } from 'node:fs/promises'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { allow, type TransportContext } from '../transports/context.ts'

/** The page loads only what is its own, talks only to its own server, and is in no frame. */
const POLICY =
  "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const types: Record<string, string> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
}

/** @param folder the folder of the built files */
export function pageRoutes(app: FastifyInstance, context: TransportContext, folder: URL): void {
  const route = { config: { action: 'page.read' }, schema: { hide: true } } as const
  const send = async (request: FastifyRequest, reply: FastifyReply, file: string, cache: string) => {
    await allow(context, request, 'page.read')
    reply
      .header('content-security-policy', POLICY)
      .header('x-content-type-options', 'nosniff')
      .header('x-frame-options', 'DENY')
      .header('referrer-policy', 'no-referrer')
      .header('cross-origin-opener-policy', 'same-origin')
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
  app.get('/', route, (request, reply) => send(request, reply, 'index.html', 'no-cache'))
  app.get<{ Params: { file: string } }>('/assets/:file', route, (request, reply) => {
    const { file } = request.params
    if (!/^[A-Za-z0-9_-][\w.-]*$/.test(file)) return reply.callNotFound()
    // Their names contain a hash of their content.
    return send(request, reply, `assets/${file}`, 'public, max-age=31536000, immutable')
  })
}
