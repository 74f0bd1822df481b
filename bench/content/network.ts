/** A small neural network: one hidden layer, trained step by step on points of two moons. */
import { seeded, shuffled } from '../random.ts'

interface Point {
  readonly x: readonly [number, number]
  readonly moon: 0 | 1
}

/** What one step found. */
export interface Step {
  /** Cross entropy over the step's points. */
  readonly loss: number
  /** Part of the step's points that were told right. */
  readonly accuracy: number
  readonly gradientNorm: number
}

/** Points on two half circles that reach into each other, not quite on them. */
export function moons(count: number, random: () => number): Point[] {
  const noise = () => (random() + random() + random() - 1.5) * 0.2
  return Array.from({ length: count }, (_, i) => {
    const angle = random() * Math.PI
    const moon = (i % 2) as 0 | 1
    const [x, y] =
      moon === 0 ? [Math.cos(angle), Math.sin(angle)] : [1 - Math.cos(angle), 0.5 - Math.sin(angle)]
    return { x: [x + noise(), y + noise()], moon }
  })
}

const HIDDEN = 12

/** Two inputs, twelve hidden units (tanh), one output (logistic). Weights lie in one array: three of each unit, then the output's. */
export class Network {
  readonly #weights: Float64Array

  constructor(random: () => number) {
    this.#weights = Float64Array.from({ length: HIDDEN * 4 + 1 }, () => (random() - 0.5) * 2)
  }

  /** How likely a point is of moon 1. */
  guess(x: readonly [number, number], hidden = new Float64Array(HIDDEN)): number {
    const weights = this.#weights
    let sum = weights[HIDDEN * 4] as number
    for (let i = 0; i < HIDDEN; i++) {
      const at = (offset: number) => weights[i * 3 + offset] as number
      hidden[i] = Math.tanh(at(0) * x[0] + at(1) * x[1] + at(2))
      sum += (weights[HIDDEN * 3 + i] as number) * (hidden[i] as number)
    }
    return 1 / (1 + Math.exp(-sum))
  }

  /** One step of gradient descent over these points. */
  learn(points: readonly Point[], rate: number): Step {
    const gradient = new Float64Array(this.#weights.length)
    const hidden = new Float64Array(HIDDEN)
    let loss = 0
    let right = 0
    const add = (place: number, value: number) => {
      gradient[place] = (gradient[place] as number) + value / points.length
    }
    for (const { x, moon } of points) {
      const guess = this.guess(x, hidden)
      // The logarithm of 0 would end the training.
      loss -= Math.log(Math.max(1e-12, moon === 1 ? guess : 1 - guess)) / points.length
      if (guess >= 0.5 === (moon === 1)) right++
      const error = guess - moon
      add(HIDDEN * 4, error)
      for (let i = 0; i < HIDDEN; i++) {
        const unit = hidden[i] as number
        const back = error * (this.#weights[HIDDEN * 3 + i] as number) * (1 - unit * unit)
        add(HIDDEN * 3 + i, error * unit)
        add(i * 3, back * x[0])
        add(i * 3 + 1, back * x[1])
        add(i * 3 + 2, back)
      }
    }
    for (const [i, slope] of gradient.entries())
      this.#weights[i] = (this.#weights[i] as number) - rate * slope
    return { loss, accuracy: right / points.length, gradientNorm: Math.hypot(...gradient) }
  }
}

/** The points in batches, in another order each time. */
export const batches = (points: readonly Point[], size: number, seed: number): Point[][] => {
  const mixed = shuffled(points, seeded(seed))
  return Array.from({ length: Math.ceil(points.length / size) }, (_, i) =>
    mixed.slice(i * size, (i + 1) * size),
  )
}
