/** A phone in a pocket: a notification now and then. */
import { seeded } from '../random.ts'
import { type Content, pause, pick } from './content.ts'
import { sections, sentences } from './repository.ts'

/**
 * Notifications that come independently of each other.
 * @param meanMs between two, on average @default 5000
 */
export function* mobile(seed: number, meanMs = 5000): Content {
  const random = seeded(seed)
  for (let atMs = pause(random, meanMs), unread = 1; ; unread++) {
    const { file, heading, text } = pick(sections(), random)
    const data = { title: heading, body: pick(sentences(text), random), link: file, unread }
    yield { atMs: Math.round(atMs), type: 'x.notification', data }
    atMs += pause(random, meanMs)
  }
}
