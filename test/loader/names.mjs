/** Leads from the packages' names to their sources, as the examples import them: by `paths` of examples/tsconfig.json. */
import { readFileSync } from 'node:fs'

const config = new URL('../../examples/tsconfig.json', import.meta.url)
const { paths } = JSON.parse(readFileSync(config, 'utf8')).compilerOptions
const sources = new Map(Object.entries(paths).map(([name, [path]]) => [name, new URL(path, config).href]))

/** Node's `resolve` hook; synchronous, so that it fits both kinds of hooks. */
export function resolve(specifier, context, next) {
  return next(sources.get(specifier) ?? specifier, context)
}
