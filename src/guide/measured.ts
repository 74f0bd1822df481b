/** What the benchmark measured last: made by `npm run bench`, not by hand. */
import type { Measured } from './evidence.ts'

export const measured: Measured = { date: '', machine: '', figures: {} }
