/** What an `Accept` header asks for, of the two forms that events come in. */

/** Types in the header, without parameters, but for those that `q=0` rules out. */
function accepted(accept: string): string[] {
  return accept
    .split(',')
    .filter(part => !/;\s*q=0(\.0*)?\s*$/.test(part))
    .map(part => (part.split(';')[0] ?? '').trim().toLowerCase())
}

/** Whether an event stream is asked for by name. */
export function acceptsEventStream(accept: string | undefined): boolean {
  return accept !== undefined && accepted(accept).includes('text/event-stream')
}

/** The form of a session's events: a stream unless only JSON is asked for; nothing when neither fits. */
export function eventsForm(accept: string | undefined): 'stream' | 'page' | undefined {
  if (accept === undefined || accept.trim() === '') return 'stream'
  const types = accepted(accept)
  if (types.includes('text/event-stream')) return 'stream'
  if (types.includes('application/json')) return 'page'
  return types.some(type => type === '*/*' || type === 'text/*') ? 'stream' : undefined
}
