/** Binary content: speech-like sound, made, cut in pieces and sent as it would be played. The wire is JSON: base64. */
import { seeded } from '../random.ts'
import { type Content, cueOf, pick } from './content.ts'

/** Samples per second, 16 bits each, one channel. */
const SAMPLE_RATE = 24_000

/** Sound in one piece, ms. */
export const PIECE_MS = 50

/** Length of a melody, ms. */
const MELODY_MS = 5000

const NOTE_MS = 250

/** Hz, a pentatonic scale from A3 on. */
const SCALE = [220, 246.9, 277.2, 329.6, 370, 440, 493.9, 554.4]

const HEADER_BYTES = 44

/** A melody as a WAV file. */
export function melody(random: () => number): Buffer {
  const samples = (SAMPLE_RATE * MELODY_MS) / 1000
  const file = Buffer.alloc(HEADER_BYTES + 2 * samples)
  file.write('RIFF', 0)
  file.writeUInt32LE(file.length - 8, 4)
  file.write('WAVEfmt ', 8)
  file.writeUInt32LE(16, 16)
  file.writeUInt16LE(1, 20)
  file.writeUInt16LE(1, 22)
  file.writeUInt32LE(SAMPLE_RATE, 24)
  file.writeUInt32LE(2 * SAMPLE_RATE, 28)
  file.writeUInt16LE(2, 32)
  file.writeUInt16LE(16, 34)
  file.write('data', 36)
  file.writeUInt32LE(2 * samples, 40)
  const perNote = (SAMPLE_RATE * NOTE_MS) / 1000
  for (let i = 0, pitch = 0; i < samples; i++) {
    if (i % perNote === 0) pitch = pick(SCALE, random)
    const seconds = (i % perNote) / SAMPLE_RATE
    const tone = Math.sin(2 * Math.PI * pitch * seconds) + 0.4 * Math.sin(4 * Math.PI * pitch * seconds)
    file.writeInt16LE(Math.round(9000 * tone * Math.exp(-6 * seconds)), HEADER_BYTES + 2 * i)
  }
  return file
}

/** Bytes of sound in one piece; a multiple of three, so that the pieces' base64 put together is the file's. */
const PIECE_BYTES = (2 * SAMPLE_RATE * PIECE_MS) / 1000

/** Melodies one after the other: a run and a WAV file each, in pieces of 50 ms, as they are to be played. */
export function* binary(seed: number): Content {
  const random = seeded(seed)
  for (let atMs = 0, number = 1; ; number++) {
    const runId = `binary-${seed}-${number}`
    const cue = cueOf(runId)
    const artifactId = `${runId}-wav`
    const file = melody(random)
    yield cue(atMs, 'run.started', {
      agent: 'binary',
      input: { seconds: MELODY_MS / 1000 },
      messageId: runId,
    })
    yield cue(atMs, 'artifact.start', { artifactId, kind: 'audio/wav', name: `melody-${number}.wav` })
    for (let at = 0; at < file.length; at += PIECE_BYTES) {
      const delta = file.toString('base64', at, Math.min(at + PIECE_BYTES, file.length))
      yield cue(atMs, 'artifact.delta', { artifactId, delta })
      atMs += PIECE_MS
    }
    yield cue(atMs, 'artifact.end', { artifactId })
    yield cue(atMs, 'run.completed', { finishReason: 'stop', result: { bytes: file.length } })
  }
}
