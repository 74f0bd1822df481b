/** Chat with streamed answers: questions about this project, answered with its documents, token by token. */
import { seeded } from '../random.ts'
import { type Content, cueOf, pause, pick } from './content.ts'
import { sections, tokens } from './repository.ts'

/** Tokens per second of the slowest and of the fastest answer, pauses aside. */
export const PACE = [30, 100] as const

/** Before the first token of an answer and between two conversations, on average, ms. */
const THINKING_MS = 300

/** A model halts about once in so many tokens, for so long on average, ms. */
const HALT = { every: 60, ms: 150 }

/** Conversations one after the other: a run each, at a model's pace. */
export function* chat(seed: number): Content {
  const random = seeded(seed)
  for (let atMs = 0, conversation = 1; ; conversation++) {
    const section = pick(sections(), random)
    const messageId = `chat-${seed}-${conversation}`
    const cue = cueOf(messageId)
    const interval = 1000 / (PACE[0] + random() * (PACE[1] - PACE[0]))
    const data = { partId: `${messageId}-text` }
    const answer = tokens(section.text)
    yield cue(atMs, 'run.started', { agent: 'chat', input: { prompt: section.heading }, messageId })
    atMs += pause(random, THINKING_MS)
    yield cue(atMs, 'text.start', { ...data, messageId, role: 'assistant' })
    for (const delta of answer) {
      yield cue(atMs, 'text.delta', { ...data, delta })
      atMs += interval * (0.5 + random())
      if (random() < 1 / HALT.every) atMs += pause(random, HALT.ms)
    }
    yield cue(atMs, 'text.end', data)
    yield cue(atMs, 'run.completed', { finishReason: 'stop', usage: { outputTokens: answer.length } })
    atMs += pause(random, THINKING_MS)
  }
}
