/** A small neural network, trained by gradient descent (Adam), in plain TypeScript: two inputs, hidden layers of tanh units, one output. */

/** Numbers from 0 to 1 that a seed determines (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A point of the data, and which of the two spirals it is on. */
export interface Point {
  readonly x: number
  readonly y: number
  readonly label: 0 | 1
}

/** Points on two spirals that wind around each other, in the square from −1 to 1. */
export function spirals(count: number, noise: number, random: () => number): Point[] {
  const jitter = () => (random() + random() + random() - 1.5) * noise
  return Array.from({ length: count }, (_, i) => {
    const label = (i % 2) as 0 | 1
    const t = Math.sqrt(random()) * 0.9 + 0.08
    const angle = t * 3.2 * Math.PI + label * Math.PI
    return { x: t * 0.95 * Math.cos(angle) + jitter(), y: t * 0.95 * Math.sin(angle) + jitter(), label }
  })
}

/** Loss is the mean cross entropy, accuracy the part of the points that are told right. */
export interface Found {
  readonly loss: number
  readonly accuracy: number
}

/** One layer: its weights, and what Adam knows of each. Every unit has a weight for each input and then its bias. */
class Layer {
  readonly inputs: number
  readonly units: number
  readonly weights: Float64Array
  readonly gradient: Float64Array
  readonly mean: Float64Array
  readonly square: Float64Array
  readonly output: Float64Array
  /** The derivative of the loss by each unit's sum. */
  readonly delta: Float64Array

  constructor(inputs: number, units: number, random: () => number) {
    this.inputs = inputs
    this.units = units
    const size = units * (inputs + 1)
    const range = Math.sqrt(6 / (inputs + units))
    this.weights = Float64Array.from({ length: size }, () => (random() * 2 - 1) * range)
    this.gradient = new Float64Array(size)
    this.mean = new Float64Array(size)
    this.square = new Float64Array(size)
    this.output = new Float64Array(units)
    this.delta = new Float64Array(units)
  }

  forward(input: Float64Array, isLast: boolean): Float64Array {
    const { inputs, units, weights, output } = this
    for (let unit = 0, at = 0; unit < units; unit++) {
      let sum = 0
      for (let i = 0; i < inputs; i++) sum += weights[at++]! * input[i]!
      sum += weights[at++]!
      output[unit] = isLast ? 1 / (1 + Math.exp(-sum)) : Math.tanh(sum)
    }
    return output
  }
}

const BETA = { mean: 0.9, square: 0.999 }

export class Network {
  readonly #layers: Layer[]
  readonly #input = new Float64Array(2)
  #updates = 0

  /** @param hidden the number of units of each hidden layer */
  constructor(hidden: readonly number[], random: () => number) {
    const sizes = [2, ...hidden, 1]
    this.#layers = sizes.slice(1).map((units, i) => new Layer(sizes[i]!, units, random))
  }

  get parameters(): number {
    return this.#layers.reduce((sum, { weights }) => sum + weights.length, 0)
  }

  /** How likely a point is on spiral 1. */
  guess(x: number, y: number): number {
    this.#input[0] = x
    this.#input[1] = y
    let values: Float64Array = this.#input
    for (const layer of this.#layers) values = layer.forward(values, layer === this.#layers.at(-1))
    return values[0]!
  }

  /** Makes one step of gradient descent over these points. */
  learn(points: readonly Point[], learningRate: number): Found {
    for (const { gradient } of this.#layers) gradient.fill(0)
    let loss = 0
    let right = 0
    for (const { x, y, label } of points) {
      const guess = this.guess(x, y)
      // The logarithm of 0 would end the training.
      loss -= Math.log(Math.max(1e-12, label === 1 ? guess : 1 - guess))
      if (guess >= 0.5 === (label === 1)) right++
      this.#backward(guess - label)
    }
    this.#update(learningRate, points.length)
    return { loss: loss / points.length, accuracy: right / points.length }
  }

  /** Loss and accuracy without learning. */
  measure(points: readonly Point[]): Found {
    let loss = 0
    let right = 0
    for (const { x, y, label } of points) {
      const guess = this.guess(x, y)
      loss -= Math.log(Math.max(1e-12, label === 1 ? guess : 1 - guess))
      if (guess >= 0.5 === (label === 1)) right++
    }
    return { loss: loss / points.length, accuracy: right / points.length }
  }

  /** The guesses over the square from −1 to 1, row by row from its top, each from 0 to 255. */
  boundary(side: number): Uint8Array {
    const at = (i: number) => ((i + 0.5) / side) * 2 - 1
    return Uint8Array.from({ length: side * side }, (_, i) =>
      Math.round(this.guess(at(i % side), -at(Math.floor(i / side))) * 255),
    )
  }

  /** Adds the gradient of the last guess. @param error the derivative of the loss by the output's sum */
  #backward(error: number): void {
    const layers = this.#layers
    layers.at(-1)!.delta[0] = error
    for (let number = layers.length - 1; number >= 0; number--) {
      const { inputs, units, weights, gradient, delta } = layers[number]!
      const before = layers[number - 1]
      const input = before?.output ?? this.#input
      before?.delta.fill(0)
      for (let unit = 0, at = 0; unit < units; unit++) {
        const d = delta[unit]!
        for (let i = 0; i < inputs; i++, at++) {
          gradient[at]! += d * input[i]!
          if (before) before.delta[i]! += d * weights[at]!
        }
        gradient[at++]! += d
      }
      if (before) for (let i = 0; i < inputs; i++) before.delta[i]! *= 1 - before.output[i]! ** 2
    }
  }

  #update(learningRate: number, points: number): void {
    this.#updates++
    const rate =
      (learningRate * Math.sqrt(1 - BETA.square ** this.#updates)) / (1 - BETA.mean ** this.#updates)
    for (const { weights, gradient, mean, square } of this.#layers) {
      for (let i = 0; i < weights.length; i++) {
        const slope = gradient[i]! / points
        mean[i] = BETA.mean * mean[i]! + (1 - BETA.mean) * slope
        square[i] = BETA.square * square[i]! + (1 - BETA.square) * slope * slope
        weights[i]! -= (rate * mean[i]!) / (Math.sqrt(square[i]!) + 1e-8)
      }
    }
  }
}

/** A copy of the points in another order. */
export function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const mixed = [...items]
  for (let i = mixed.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[mixed[i], mixed[j]] = [mixed[j]!, mixed[i]!]
  }
  return mixed
}
