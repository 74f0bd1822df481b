/** The events that are sent: tokens of an answer. */
import type { Body } from './peers/peer.ts'
import { seeded } from './random.ts'

const VOCABULARY = (
  'the of and to in is that it for was on are as with they be at one have this from by hot but some what there we ' +
  'can out other were all your when up use word how said an each she which do their time if will way about many ' +
  'then them would write like so these her long make thing see him two has look more day could go come did sound'
).split(' ')

/** Words without end, each with the space after it; the same for the same seed. */
export function* words(seed: number): Generator<string, never, void> {
  const random = seeded(seed)
  for (;;) yield `${VOCABULARY[Math.floor(random() * VOCABULARY.length)]} `
}

/** Tokens of one run, a word each: about 170 bytes of JSON with their envelope, as the comparison's events have. */
export function* deltas(seed: number): Generator<Body, never, void> {
  const runId = 'run-7d1c0b529a4e4f7b8e36'
  for (const text = words(seed); ; ) {
    yield { type: 'text.delta', runId, data: { partId: 'text-1', delta: text.next().value } }
  }
}

/** The next `count` bodies. */
export function take(bodies: Iterator<Body, never>, count: number): Body[] {
  return Array.from({ length: count }, () => bodies.next().value)
}

/** Short tokens, a word each, in so many messages that begin and end: `events` bodies in all. */
export function* messages(events: number, count: number): Generator<Body, void, void> {
  const text = words(1)
  for (let message = 1, index = 0; message <= count; message++) {
    const partId = `p${message}`
    const end = Math.round((events * message) / count)
    for (const first = index; index < end; index++) {
      if (index === first) yield { type: 'text.start', data: { partId } }
      else if (index === end - 1) yield { type: 'text.end', data: { partId } }
      else yield { type: 'text.delta', data: { partId, delta: text.next().value } }
    }
  }
}
