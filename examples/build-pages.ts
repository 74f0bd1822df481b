/** Builds the pages of all examples for the package, a part of `npm run build -w examples`. */
import { join } from 'node:path'
import { buildPage } from './build.ts'
import { examplesIn } from './list.ts'

const { dirname } = import.meta
await Promise.all(
  Object.keys(examplesIn(dirname)).map(name =>
    buildPage(name, join(dirname, 'dist', name, 'page'), { sourcemap: false }),
  ),
)
