/** The events of the scenarios: tokens of an answer. */
import type { Body } from './peers/peer.ts'
import { seeded } from './random.ts'

const VOCABULARY = (
  'the of and to in is that it for was on are as with they be at one have this from by hot but some what there we ' +
  'can out other were all your when up use word how said an each she which do their time if will way about many ' +
  'then them would write like so these her long make thing see him two has look more day could go come did sound'
).split(' ')

/** Endless words, each followed by a space; equal seeds give equal words. */
export function* words(seed: number): Generator<string, never, void> {
  const random = seeded(seed)
  for (;;) yield `${VOCABULARY[Math.floor(random() * VOCABULARY.length)]} `
}

/** Endless tokens of one run, a word each: about 170 bytes of JSON with the envelope. */
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

/** `events` bodies in `count` messages, each with its start, deltas of a word, and end. */
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
