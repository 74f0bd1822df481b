/** Content negotiation: an event stream or a page of JSON. */

/** Media types in the header without parameters, except those with `q=0`. */
function accepted(accept: string): string[] {
  return accept
    .split(',')
    .filter(part => !/;\s*q=0(\.0*)?\s*$/.test(part))
    .map(part => (part.split(';')[0] ?? '').trim().toLowerCase())
}

/** Whether the header names `text/event-stream`. */
export function acceptsEventStream(accept: string | undefined): boolean {
  return accept !== undefined && accepted(accept).includes('text/event-stream')
}

/** The form of a session's events: a stream unless only JSON is accepted; `undefined` when neither is. */
export function eventsForm(accept: string | undefined): 'stream' | 'page' | undefined {
  if (accept === undefined || accept.trim() === '') return 'stream'
  const types = accepted(accept)
  if (types.includes('text/event-stream')) return 'stream'
  if (types.includes('application/json')) return 'page'
  return types.some(type => type === '*/*' || type === 'text/*') ? 'stream' : undefined
}
