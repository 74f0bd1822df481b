/** The pages, built by Vite: the playground at `/` with Twinrail's documents, and the inspector at `/inspect`. */
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
    secure(reply)
  }
  app.get('/', route, async (request, reply) => {
    const [path, query] = request.originalUrl.split(/(?=\?)/)
    if (prefix === '' || path !== prefix) {
      await open(request, reply)
      return sendFile(reply, folders.page, 'index.html')
    }
    // Without the slash at the end, relative links would lead to the prefix's own folder.
    await allow(context, request, 'page.read')
    return reply.redirect(`${prefix.slice(prefix.lastIndexOf('/') + 1)}/${query ?? ''}`, 308)
  })
  app.get<{ Params: { file: string } }>('/assets/:file', route, async (request, reply) => {
    await open(request, reply)
    return sendAsset(reply, folders.page, request.params.file)
  })
  const template = () => readFile(new URL('documents.html', folders.page), 'utf8')
  app.get<{ Params: { '*': string } }>(`/${DOCUMENTS}*`, route, async (request, reply) => {
    await open(request, reply)
    const document = await documentAt(request.params['*'], folders.documents, template)
    if (!document) return reply.callNotFound()
    return reply.type(types[document.type]!).header('cache-control', 'no-cache').send(document.body)
  })
}

/**
 * The page of the inspector. A browser sends no token with the request for a page, and these files are the same for
 * everybody, so they are public; what the page shows is not.
 */
export function inspectorPage(app: FastifyInstance, folder: URL): void {
  const route = { config: { action: 'inspect.open' }, schema: { hide: true } } as const
  // Without the slash at the end, relative links would lead to the folder above.
  app.get('/inspect', route, async (request, reply) => {
    const [, query = ''] = request.originalUrl.split(/(?=\?)/)
    return reply.redirect(`inspect/${query}`, 308)
  })
  app.get('/inspect/', route, (_request, reply) => sendFile(secure(reply), folder, 'inspector.html'))
  app.get<{ Params: { file: string } }>('/inspect/assets/:file', route, (request, reply) =>
    sendAsset(secure(reply), folder, request.params.file),
  )
}

function secure(reply: FastifyReply): FastifyReply {
  return reply
    .header('content-security-policy', POLICY)
    .header('x-content-type-options', 'nosniff')
    .header('x-frame-options', 'DENY')
    .header('referrer-policy', 'no-referrer')
    .header('cross-origin-opener-policy', 'same-origin')
}

/** A file whose name contains a hash of its content. */
async function sendAsset(reply: FastifyReply, folder: URL, file: string): Promise<unknown> {
  if (!/^[A-Za-z0-9_-][\w.-]*$/.test(file)) return reply.callNotFound()
  return sendFile(reply, folder, `assets/${file}`, 'public, max-age=31536000, immutable')
}

async function sendFile(
  reply: FastifyReply,
  folder: URL,
  file: string,
  cache = 'no-cache',
): Promise<FastifyReply> {
  const bytes = await readFile(new URL(file, folder)).catch(() => undefined)
  if (!bytes) return reply.code(404).type('text/plain').send(notBuilt)
  return reply
    .type(types[file.split('.').at(-1)!] ?? 'application/octet-stream')
    .header('cache-control', cache)
    .send(bytes)
}
