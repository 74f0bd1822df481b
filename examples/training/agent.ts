/** The agent that trains: a small network learns to tell two spirals apart, and every step of it is an event. */
import { setImmediate, setTimeout } from 'node:timers/promises'
import { defineAgent, type EventBody, type RunContext, type RunResult } from 'twinrail'
import { parseMessage, type TrainingEvent, TrainingInput } from './events.ts'
import { Network, type Point, seeded, shuffled, spirals } from './network.ts'

/** Time from one step to the next, in ms. */
const STEP_MS = 50

/** What the network learns in one step. The event loop turns after each batch, so a step blocks it for under 1 ms. */
const BATCHES = 8
const BATCH_POINTS = 20

const POINTS = { learned: 300, tested: 200 }
const NOISE = 0.05

/** How often the boundary is shown, in steps, and of how many guesses each of its sides is. */
const BOUNDARY_STEPS = 20
const BOUNDARY_SIDE = 48

export const trainingAgent = defineAgent({
  name: 'training',
  description: 'Trains a small neural network to tell two spirals apart.',
  input: TrainingInput,
  inputText: ({ seed, learningRate, units }) => `seed ${seed}, learning rate ${learningRate}, ${units} units`,
  run: (input, context) => train(input, context),
})

async function* train(
  { seed, units, steps, ...input }: TrainingInput,
  { signal, steering }: RunContext,
): AsyncGenerator<EventBody, RunResult, void> {
  const random = seeded(seed)
  const points = spirals(POINTS.learned, NOISE, random)
  const tested = spirals(POINTS.tested, NOISE, random)
  const network = new Network([units, units], random)
  const batches = endlessBatches(points, random)
  let { learningRate } = input
  let paused = false
  let found = { loss: Number.NaN, accuracy: 0 }
  const boundary = (step: number): TrainingEvent => {
    const guesses = Buffer.from(network.boundary(BOUNDARY_SIDE)).toString('base64')
    return { type: 'x.training.boundary', data: { step, side: BOUNDARY_SIDE, guesses } }
  }

  yield {
    type: 'x.training.data',
    data: {
      points: points.map(({ x, y, label }) => [digits(x), digits(y), label]),
      parameters: network.parameters,
    },
  } satisfies TrainingEvent

  for (let step = 0, due = performance.now(); step < steps; ) {
    // A busy machine trains more slowly; it does not hurry afterwards.
    due = Math.max(due + STEP_MS, performance.now())
    await setTimeout(due - performance.now(), undefined, { signal })

    for (const { text } of await steering.take()) {
      const message = parseMessage(text)
      if (!message) {
        const reason = 'expected "pause", "resume", or "rate 0.01" with a number from 0.0001 to 1'
        yield {
          type: 'x.training.refused',
          data: { text: text.slice(0, 80), reason },
        } satisfies TrainingEvent
      } else if ('paused' in message) {
        paused = message.paused
        yield { type: 'x.training.paused', data: { paused } } satisfies TrainingEvent
      } else {
        learningRate = message.learningRate
        yield { type: 'x.training.rate', data: { step, learningRate } } satisfies TrainingEvent
      }
    }
    if (paused) continue

    step += 1
    let loss = 0
    for (let batch = 0; batch < BATCHES; batch++) {
      loss += network.learn(batches.next().value, learningRate).loss / BATCHES
      await setImmediate()
    }
    found = { loss, accuracy: network.measure(tested).accuracy }
    const epoch = (step * BATCHES * BATCH_POINTS) / POINTS.learned
    yield {
      type: 'x.training.step',
      data: { step, epoch: digits(epoch), loss: digits(loss), accuracy: found.accuracy, learningRate },
    } satisfies TrainingEvent
    if (step % BOUNDARY_STEPS === 0 || step === steps) yield boundary(step)
  }
  return { result: { loss: digits(found.loss), accuracy: found.accuracy } }
}

/** All points in batches, in another order each time. */
function* endlessBatches(points: readonly Point[], random: () => number): Generator<Point[], never, void> {
  for (;;) {
    const mixed = shuffled(points, random)
    for (let at = 0; at < mixed.length; at += BATCH_POINTS) yield mixed.slice(at, at + BATCH_POINTS)
  }
}

const digits = (value: number) => Number(value.toPrecision(4))
