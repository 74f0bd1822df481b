/** A training monitor: a small network learns, and every step tells its loss, accuracy and gradient. */
import { seeded } from '../random.ts'
import { type Content, cueOf } from './content.ts'
import { batches, moons, Network } from './network.ts'

export const STEPS_PER_SECOND = 20

const EPOCHS = 10
const POINTS = 320
const BATCH = 16
const RATE = 0.5

const digits = (value: number) => Number(value.toPrecision(6))

/** Trainings one after the other: a run each, ten epochs of twenty steps. */
export function* training(seed: number): Content {
  for (let atMs = 0, number = 1; ; number++) {
    const random = seeded(seed * 1000 + number)
    const points = moons(POINTS, random)
    const network = new Network(random)
    const cue = cueOf(`training-${seed}-${number}`)
    const plan = (done: number) => ({
      title: 'Training',
      steps: Array.from({ length: EPOCHS }, (_, i) => ({
        title: `Epoch ${i + 1}`,
        status: i < done ? 'done' : i === done ? 'running' : 'pending',
      })),
    })
    const input = { points: POINTS, batch: BATCH, learningRate: RATE, epochs: EPOCHS }
    yield cue(atMs, 'run.started', { agent: 'training', input, messageId: `training-${seed}-${number}` })
    let accuracy = 0
    for (let epoch = 0, step = 1; epoch < EPOCHS; epoch++) {
      yield cue(atMs, 'plan.updated', plan(epoch))
      yield cue(atMs, 'run.status', { status: 'training', message: `epoch ${epoch + 1} of ${EPOCHS}` })
      for (const batch of batches(points, BATCH, seed + epoch)) {
        const found = network.learn(batch, RATE)
        accuracy = found.accuracy
        yield cue(atMs, 'x.metrics', {
          step: step++,
          epoch: epoch + 1,
          loss: digits(found.loss),
          accuracy: found.accuracy,
          gradientNorm: digits(found.gradientNorm),
          learningRate: RATE,
        })
        atMs += 1000 / STEPS_PER_SECOND
      }
    }
    yield cue(atMs, 'plan.updated', plan(EPOCHS))
    yield cue(atMs, 'run.completed', { finishReason: 'stop', result: { accuracy } })
  }
}
