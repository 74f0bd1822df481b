/** Single-use tickets, with which EventSource and WebSocket prove who they are: a page cannot give them headers. */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Journal } from '../bus/journal.ts'
import { AUTH_SESSION } from '../bus/journal.ts'
import { unauthorized } from './bearer.ts'

/** Maximum and default time for which a ticket can be used, in ms. */
export const TICKET_MS = 60_000
export const DEFAULT_TICKET_MS = 30_000

/** What a ticket stands for: the credentials it was issued for, and what they may be used for. */
export interface Proof {
  /** The id of the principal. */
  readonly principal: string
  /** The headers of the request that asked for the ticket. */
  readonly headers: IncomingHttpHeaders
  /** The origin of the pages that may use it; `own` for the server's own pages and for what is no page. */
  readonly origin: string
  /** The only session that it may be used for. */
  readonly sessionId?: string | undefined
  /** The only groups of rights that it may be used for. */
  readonly allow?: readonly string[] | undefined
}

/** Headers that are about one request or connection and not about who sent it. */
const NOT_KEPT =
  /^(host|origin|referer|connection|upgrade|expect|te|date|content-.*|transfer-.*|accept.*|sec-.*|cache-control|pragma|last-event-id|user-agent|priority)$/

/**
 * Issues and redeems tickets. They are kept in the log, so that any node redeems what another one issued, and only once.
 * A ticket's record is encrypted with a key that only the ticket gives: whoever reads the log finds no credentials.
 */
export class Tickets {
  readonly #journal: Journal

  constructor(journal: Journal) {
    this.#journal = journal
  }

  /** @param ttlMs how long it can be used, in ms */
  async issue(proof: Proof, ttlMs: number): Promise<{ ticket: string; expiresAt: number }> {
    const ticket = randomBytes(32).toString('base64url')
    const expiresAt = Date.now() + ttlMs
    const headers = Object.fromEntries(Object.entries(proof.headers).filter(([name]) => !NOT_KEPT.test(name)))
    const note = seal(ticket, { ...proof, headers, expiresAt })
    const issued = { key: `ticket:${idOf(ticket)}`, note, ttlMs }
    await this.#journal.append(AUTH_SESSION, [], { create: true, once: [issued] })
    return { ticket, expiresAt }
  }

  /** @throws TwinrailError `unauthorized` when it is unknown, expired, used, or was issued for another origin */
  async redeem(ticket: string, origin: string): Promise<Proof> {
    const id = idOf(ticket)
    const [entry] = await this.#journal.lookup(AUTH_SESSION, [`ticket:${id}`])
    const record = entry && open(ticket, entry.note as string)
    if (!record || record.expiresAt <= Date.now()) {
      throw unauthorized('the ticket is not known or has expired; get another one by POST /v1/tickets')
    }
    if (record.origin !== origin) throw unauthorized('the ticket was issued for another origin')
    const used = { key: `used:${id}`, ttlMs: TICKET_MS }
    const { accepted } = await this.#journal.append(AUTH_SESSION, [], { once: [used] })
    if (!accepted) throw unauthorized('the ticket was used before; get another one by POST /v1/tickets')
    return record
  }
}

const idOf = (ticket: string) => createHash('sha256').update(`id ${ticket}`).digest('base64url')
const keyOf = (ticket: string) => createHash('sha256').update(`key ${ticket}`).digest()

type Record_ = Proof & { expiresAt: number }

/** A key is used for one record only, so the nonce need not differ. */
const NONCE = Buffer.alloc(12)

function seal(ticket: string, record: Record_): string {
  const cipher = createCipheriv('aes-256-gcm', keyOf(ticket), NONCE)
  const sealed = [cipher.update(JSON.stringify(record)), cipher.final(), cipher.getAuthTag()]
  return Buffer.concat(sealed).toString('base64')
}

function open(ticket: string, note: string): Record_ {
  const sealed = Buffer.from(note, 'base64')
  const decipher = createDecipheriv('aes-256-gcm', keyOf(ticket), NONCE)
  decipher.setAuthTag(sealed.subarray(-16))
  const text = Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()])
  return JSON.parse(text.toString()) as Record_
}

const tickets = new WeakMap<IncomingMessage, string>()

/** Longer ones are no tickets. */
const TICKET_CHARS = 100

/**
 * Takes the ticket out of a request's URL, before anything can log it. Called once for each request, before it is routed.
 */
export function takeTicket(request: IncomingMessage): void {
  const ticket = ticketIn(request.url)
  if (ticket === undefined) return
  request.url = withoutTicket(request.url)
  // Where the server is mounted, the URL as the app got it.
  const { originalUrl } = request as { originalUrl?: string }
  if (originalUrl !== undefined) Object.assign(request, { originalUrl: withoutTicket(originalUrl) })
  tickets.set(request, ticket.slice(0, TICKET_CHARS))
}

function ticketIn(url: string | undefined): string | undefined {
  if (!url?.includes('ticket=')) return undefined
  const [, query = ''] = url.split(/\?(.*)/s)
  return new URLSearchParams(query).get('ticket') ?? undefined
}

function withoutTicket(url = ''): string {
  const [path = '', query = ''] = url.split(/\?(.*)/s)
  const rest = query
    .split('&')
    .filter(field => !/^ticket(=|$)/.test(field))
    .join('&')
  return rest === '' ? path : `${path}?${rest}`
}

/** The ticket that the request's URL had. */
export function ticketOf(request: IncomingMessage): string | undefined {
  return tickets.get(request)
}
