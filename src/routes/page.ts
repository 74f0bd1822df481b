/** The playground page at `/`, built by Vite, and Twinrail's documents. */
import { readFile } from 'node:fs/promises'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { allow, type TransportContext } from '../transports/context.ts'
import { DOCUMENTS, documentAt } from './documents.ts'

/** The page loads only what is its own, talks only to its own server, and is in no frame. */
const POLICY =
  "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const types: Record<string, string> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
}

const notBuilt = 'This page is not built yet. Build it with: npm run build\n'

/**
 * All links of the page and of the documents are relative, so that they hold below any prefix, also below one that a proxy
 * removes.
 * @param folders the folder of the built files, and the folder of the package, which has the documents
 * @param prefix the path below which the routes are
 */
export function pageRoutes(
  app: FastifyInstance,
  context: TransportContext,
  folders: { page: URL; documents: URL },
  prefix: string,
): void {
  const route = { config: { action: 'page.read' }, schema: { hide: true } } as const
  const open = async (request: FastifyRequest, reply: FastifyReply) => {
    await allow(context, request, 'page.read')
    reply
      .header('content-security-policy', POLICY)
      .header('x-content-type-options', 'nosniff')
      .header('x-frame-options', 'DENY')
      .header('referrer-policy', 'no-referrer')
      .header('cross-origin-opener-policy', 'same-origin')
  }
  const send = async (request: FastifyRequest, reply: FastifyReply, file: string, cache: string) => {
    await open(request, reply)
    const bytes = await readFile(new URL(file, folders.page)).catch(() => undefined)
    if (!bytes) return reply.code(404).type('text/plain').send(notBuilt)
    return reply
      .type(types[file.split('.').at(-1)!] ?? 'application/octet-stream')
      .header('cache-control', cache)
      .send(bytes)
  }
  app.get('/', route, async (request, reply) => {
    const [path, query] = request.originalUrl.split(/(?=\?)/)
    if (prefix === '' || path !== prefix) return send(request, reply, 'index.html', 'no-cache')
    // Without the slash at the end, relative links would lead to the prefix's own folder.
    await allow(context, request, 'page.read')
    return reply.redirect(`${prefix.slice(prefix.lastIndexOf('/') + 1)}/${query ?? ''}`, 308)
  })
  app.get<{ Params: { file: string } }>('/assets/:file', route, (request, reply) => {
    const { file } = request.params
    if (!/^[A-Za-z0-9_-][\w.-]*$/.test(file)) return reply.callNotFound()
    // Their names contain a hash of their content.
    return send(request, reply, `assets/${file}`, 'public, max-age=31536000, immutable')
  })
  const template = () => readFile(new URL('documents.html', folders.page), 'utf8')
  app.get<{ Params: { '*': string } }>(`/${DOCUMENTS}*`, route, async (request, reply) => {
    await open(request, reply)
    const document = await documentAt(request.params['*'], folders.documents, template)
    if (!document) return reply.callNotFound()
    return reply.type(types[document.type]!).header('cache-control', 'no-cache').send(document.body)
  })
}
