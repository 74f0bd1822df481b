/** The agent `playback`: yields generated or recorded events at a given pace, for tests, demos and benchmarks. */
import { performance } from 'node:perf_hooks'
import { z } from 'zod'
import { type EventBody, isTerminal, listOf, parseEventBody, TwinrailError } from '../protocol/index.ts'
import { sleep } from '../protocol/timers.ts'
import { defineAgent } from './agent.ts'
import { safeId } from './ids.ts'
import { mulberry32 } from './random.ts'

const Generated = z.object({
  count: z.int().min(0).max(10_000_000).describe('Text deltas'),
  rate: z.number().min(0).max(100_000).describe('Deltas per second; 0 = as fast as possible'),
  bytes: z
    .int()
    .min(1)
    .max(65_536)
    .optional()
    .describe('UTF-8 bytes of each delta; without it, one word each'),
  seed: z.int().default(1).describe('Equal seeds give equal text'),
  messages: z.int().min(1).max(10_000).default(1).describe('Texts that the deltas are spread over'),
})

/** Maximum number of events in a recording. A request body of 1 MiB holds about as many. */
const MAX_RECORDED = 10_000

/** Maximum text that one run generates, in UTF-8 bytes. */
const MOST_TEXT = 256 * 1024 * 1024

/** Average length of a generated word with its space, in bytes. */
const WORD_BYTES = 5

const RecordedEvent = z
  .looseObject({
    type: z.string().max(128),
    data: z.unknown(),
    time: z.number().optional().describe('ms since 1970; without it, right after the event before'),
  })
  .superRefine(({ type, data }, { addIssue }) => {
    if (!isPlayable(type)) return
    try {
      parseEventBody({ type, data })
    } catch (error) {
      if (!(error instanceof TwinrailError)) throw error
      addIssue({ code: 'custom', message: error.message, path: String(error.details?.['path']).split('.') })
    }
  })

const Recorded = z.object({
  events: listOf(RecordedEvent, MAX_RECORDED),
  speed: z.number().min(0).max(1_000_000).default(1).describe('2 = twice as fast; 0 = as fast as possible'),
})

/** Input of `playback`: the amount of text to generate, or a recording. */
export const PlaybackInput = z
  .union([Generated, Recorded], {
    error: 'expected {count, rate} of generated text, or {events} of a recording',
  })
  .refine(input => 'events' in input || input.count * (input.bytes ?? WORD_BYTES) <= MOST_TEXT, {
    error: `expected at most ${MOST_TEXT} bytes of text: count times bytes is more`,
    path: ['count'],
  })

/** The input of {@link playback}, with its defaults. */
export type PlaybackInput = z.output<typeof PlaybackInput>

/** An event, and the earliest time to yield it, in ms from the start of the run. */
interface Cue {
  at: number
  body: EventBody
}

/**
 * Yields events at a given pace. Each event has a fixed time from the start of the run, so a slow log delays single
 * events but the delay does not add up. Events that are due are yielded without a pause between them.
 *
 * Generated text (`count`, `rate`) is `text.start`, `count` deltas at `rate` a second, `text.end`, `messages` times
 * over; equal seeds (default 1) give equal deltas. A recording (`events`) keeps its spacing, divided by `speed`, from
 * its first event on. Events that agents may not yield (`run.started`, terminals, `run.cancel-requested`, `input.*`)
 * are left out. Of each recorded event only type and data are used, so recordings with folded events work as well.
 */
export const playback = defineAgent<PlaybackInput>({
  name: 'playback',
  description: 'Plays generated or recorded events at a given pace.',
  input: PlaybackInput,
  async *run(input, { runId, signal }) {
    const start = performance.now()
    const cues = 'events' in input ? recorded(input) : generated(input, runId)
    for (const { at, body } of cues) {
      const due = start + at
      while (performance.now() < due) {
        await sleep(due - performance.now(), signal)
      }
      signal.throwIfAborted()
      yield body
    }
  },
})

function* generated(input: z.output<typeof Generated>, runId: string): Generator<Cue, void, void> {
  const { count, rate, bytes, seed, messages } = input
  const texts = bytes === undefined ? words(seed) : pieces(words(seed), bytes)
  for (let message = 1, index = 0; message <= messages; message++) {
    const partId = safeId(`${runId}:${message}`)
    yield { at: 0, body: { type: 'text.start', data: { partId } } }
    for (const end = Math.round((count * message) / messages); index < end; index++) {
      const at = rate === 0 ? 0 : (index * 1000) / rate
      yield { at, body: { type: 'text.delta', data: { partId, delta: texts.next().value } } }
    }
    yield { at: 0, body: { type: 'text.end', data: { partId } } }
  }
}

function* recorded({ events, speed }: z.output<typeof Recorded>): Generator<Cue, void, void> {
  let first: number | undefined
  let at = 0
  for (const { type, data, time } of events) {
    if (time !== undefined && speed > 0) {
      first ??= time
      at = (time - first) / speed
    }
    if (isPlayable(type)) yield { at, body: { type, data } as EventBody }
  }
}

/** Whether an agent may yield events of this type. */
function isPlayable(type: string): boolean {
  return !(
    type === 'run.started' ||
    type === 'run.cancel-requested' ||
    type.startsWith('input.') ||
    isTerminal(type)
  )
}

const VOCABULARY = (
  'the of and to in is that it for was on are as with they be at one have this from by hot but some what there we ' +
  'can out other were all your when up use word how said an each she which do their time if will way about many ' +
  'then them would write like so these her long make thing see him two has look more day could go come did sound'
).split(' ')

/** Lower-case ASCII words without end, each with what parts it from the next. */
function* words(seed: number): Generator<string, never, void> {
  const random = mulberry32(seed)
  for (;;) {
    const word = VOCABULARY[Math.floor(random() * VOCABULARY.length)]!
    const mark = random()
    yield word + (mark < 0.06 ? '. ' : mark < 0.14 ? ', ' : ' ')
  }
}

/** The same text in pieces of `length` characters. */
function* pieces(texts: Generator<string, never, void>, length: number): Generator<string, never, void> {
  for (let rest = ''; ; rest = rest.slice(length)) {
    while (rest.length < length) rest += texts.next().value
    yield rest.slice(0, length)
  }
}
