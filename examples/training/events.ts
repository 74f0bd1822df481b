/** The events of a training, as the agent writes them and pages read them. */
// As a namespace, of which a page bundles only what it uses.
import * as z from 'zod'

/** The learning rates to choose from. The last ones are too high: then the loss jumps, and pages can watch that as well. */
export const rates = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3] as const

/** What a run is started with. */
export const TrainingInput = z.object({
  /** The same seed gives the same points, weights and order, so the same curve. */
  seed: z.number().int().min(0).max(999_999),
  learningRate: z.number().min(0.0001).max(1).default(0.01),
  /** Units of each of the two hidden layers. */
  units: z.number().int().min(2).max(32).default(16),
  steps: z.number().int().min(1).max(2000).default(400),
})
export type TrainingInput = z.output<typeof TrainingInput>

const step = z.number().int().min(0)

export const schemas = {
  /** First of all: what the network learns. A point is x, y, and the spiral that it is on. */
  'x.training.data': z.object({
    points: z.array(z.tuple([z.number(), z.number(), z.union([z.literal(0), z.literal(1)])])),
    parameters: z.number(),
  }),
  /** Twenty times a second. `accuracy` is of points that the network does not learn from. */
  'x.training.step': z.object({
    step,
    epoch: z.number(),
    loss: z.number(),
    accuracy: z.number(),
    learningRate: z.number(),
  }),
  /** Once a second: the guesses over the square from −1 to 1, one byte each, as base64. */
  'x.training.boundary': z.object({ step, side: z.number().int(), guesses: z.string() }),
  'x.training.paused': z.object({ paused: z.boolean() }),
  'x.training.rate': z.object({ step, learningRate: z.number() }),
  /** A message that the agent did not understand. */
  'x.training.refused': z.object({ text: z.string(), reason: z.string() }),
}
type Data = { [T in keyof typeof schemas]: z.output<(typeof schemas)[T]> }

/** An event of a training without what the server adds. */
export type TrainingEvent = { [T in keyof Data]: { type: T; data: Data[T] } }[keyof Data]

/** What people may say to a running training, as the text of a steering message. */
export function parseMessage(text: string): { paused: boolean } | { learningRate: number } | undefined {
  if (text === 'pause' || text === 'resume') return { paused: text === 'pause' }
  const [, number] = /^rate (\d+(?:\.\d+)?)$/.exec(text) ?? []
  const learningRate = TrainingInput.shape.learningRate.safeParse(number === undefined ? NaN : Number(number))
  return learningRate.success ? { learningRate: learningRate.data } : undefined
}
