/** The answer that the demo plays: events as an agent yields them, each with its time. */

export const demoQuestion = 'What happens to an answer when the connection breaks?'

/** Time between two words, in ms. */
const WORD_MS = 45

const sources = [
  [
    'README: what Twinrail does',
    'about/README.md',
    'Every event has an offset; a client resumes at its own offset on any transport.',
  ],
  [
    'Delivery',
    'about/docs/delivery.md',
    'A subscriber that falls behind continues from the log, with its deltas folded.',
  ],
  [
    'Choosing a transport',
    'about/docs/choosing-a-transport.md',
    'SSE and WebSocket carry the same events, so a client can switch between them.',
  ],
  [
    'The protocol',
    'about/PROTOCOL.md',
    'Every offset that was received is a safe cursor on every transport.',
  ],
] as const

const answer = `**Nothing happens to it.** The answer does not live in the connection. The agent appends every word to a log first, and only then does the server deliver it [1]. What you are reading right now is the same log twice: rail A reads it over Server-Sent Events, rail B over a WebSocket. Each word is an event, and each event has an offset.

**A line breaks.** The rail shows what it has and waits. The agent does not notice and does not stop: closing a connection never cancels a run. Once the line is mended, the client says which offset it has, the server sends what comes after it, and the rail goes on as if nothing had been. It asks for no word again, and it misses none [1][4].

**A reader is slow.** Think of a phone on a train. The server keeps no queue for it, so its memory does not grow, and the other reader does not wait. The slow one lags behind the log. When it is ready it gets what it missed in a few large pieces instead of many small ones: neighbouring words arrive folded into one event that says from which offset to which it reaches [2].

**A proxy gets in the way.** Some buffer streams, some strip the upgrade that a WebSocket needs. A client may therefore move to the other rail in the middle of a sentence. The cursor is the same on SSE, WebSocket and long-poll, so the new connection starts exactly where the old one ended [3][4].

**How do you know?** Count. Every event of this answer has a number, and each rail notes the numbers that it got. When the answer ends, this page asks the log how many events there are, and compares. No event may be missing on either rail, and none may have come twice.`

interface Recorded {
  readonly type: string
  readonly data: unknown
  readonly time: number
}

/** Words with the white space after them. */
const words = (text: string): string[] => text.match(/\S+\s*/g) ?? []

/** The events of the demo's run, without its start and its end. */
export function recording(): readonly Recorded[] {
  const events: Recorded[] = []
  let time = 0
  const add = (afterMs: number, type: string, data: unknown) => {
    time += afterMs
    events.push({ type, data, time })
  }
  const steps = ['The connection breaks', 'The reader is slow', 'A proxy gets in the way']
  const plan = (status: string) => ({ steps: steps.map(title => ({ title, status })) })
  const search = { toolCallId: 'search', toolName: 'search_docs' }
  add(0, 'run.status', { status: 'searching', message: 'Searching the documentation' })
  add(0, 'plan.updated', plan('running'))
  add(0, 'tool.started', search)
  add(0, 'tool.called', { ...search, input: { query: demoQuestion } })
  add(500, 'tool.finished', { toolCallId: 'search', output: { hits: sources.length } })
  for (const [index, [title, url, excerpt]] of sources.entries())
    add(60, 'source.added', { sourceId: `s${index + 1}`, title, url, excerpt })
  add(0, 'plan.updated', plan('done'))
  add(0, 'run.status', { status: 'generating', message: 'Writing the answer' })
  add(0, 'text.start', { partId: 'answer' })
  for (const delta of words(answer)) add(WORD_MS, 'text.delta', { partId: 'answer', delta })
  add(0, 'text.end', { partId: 'answer' })
  return events
}
