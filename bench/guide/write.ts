/** Writes the report of a results file: the selection guide and the guide's figures, or a report beside the file. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Measured, scenarioNames } from '../package/guide.ts'
import { keptResults } from '../report.ts'
import { workloadsOf } from './cells.ts'
import { pages, withNetworks } from './choosing.ts'
import { measuredOf, measuredSource, networksOf, networksSource } from './figures.ts'
import type { Findings } from './findings.ts'
import { markdown } from './markdown.ts'

const inRepository = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))

/** @throws Error when the file is not of a run of the workloads */
export function readFindings(file: string): Findings {
  let findings: Partial<Findings>
  try {
    findings = JSON.parse(readFileSync(file, 'utf8')) as Partial<Findings>
  } catch (error) {
    throw new Error(`${file}: expected the results of a run as JSON: ${(error as Error).message}`)
  }
  if (findings.format !== 2 || !Array.isArray(findings.cells)) {
    throw new Error(`${file}: expected results of the workloads in format 2; make them with npm run bench`)
  }
  return findings as Findings
}

/**
 * Writes the selection guide and the figures that the guide cites, which are committed, from a complete and valid run. Of
 * any other run it writes the report beside the results, as Markdown.
 * @param file the results, whose name ends with `.json`
 * @param networks the figures of the imitated network; by default those of its newest committed result
 * @returns the files that were written
 */
export function writeReport(file: string, networks: Measured = networksOf(keptResults())): string[] {
  const findings = readFindings(file)
  const isWhole = scenarioNames.every(name => workloadsOf(findings).includes(name))
  const isCitable = isWhole && findings.valid && !findings.settings.quick
  const written: [path: string, text: string][] = isCitable
    ? [
        [inRepository('docs/selection-guide.md'), markdown(findings, networks)],
        [inRepository('src/guide/measured.ts'), measuredSource(measuredOf(findings))],
      ]
    : [[file.replace(/(\.json)?$/, '.md'), markdown(findings, networks)]]
  for (const [path, text] of written) writeFileSync(path, text)
  return written.map(([path]) => path)
}

/**
 * Writes the figures of the imitated network, which are committed: those that the guide cites, the tables in the pages on
 * choosing a transport, and the selection guide of the newest results with them.
 * @returns the files that were written
 */
export function writeNetworks(): string[] {
  const networks = networksOf(keptResults())
  const figures = inRepository('src/guide/measured-networks.ts')
  writeFileSync(figures, networksSource(networks))
  const choosing = Object.entries(pages).map(([path, words]) => {
    const file = inRepository(path)
    writeFileSync(file, withNetworks(readFileSync(file, 'utf8'), words, networks))
    return file
  })
  const newest = readdirSync(inRepository('bench/results'))
    .filter(name => /^\d{4}-\d\d-\d\d\.json$/.test(name))
    .sort()
    .at(-1)
  return [
    figures,
    ...choosing,
    ...(newest ? writeReport(inRepository(`bench/results/${newest}`), networks) : []),
  ]
}
