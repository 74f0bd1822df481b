/** Writes what is made of a results file: the page beside it, the selection guide, and the guide's figures. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { scenarioNames } from '../../src/guide/index.ts'
import { workloadsOf } from './cells.ts'
import { measuredOf, measuredSource } from './figures.ts'
import type { Findings } from './findings.ts'
import { markdown } from './markdown.ts'
import { page } from './page.ts'

const inRepository = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))

/** @throws Error when the file is not of a run of the workloads */
export function readFindings(file: string): Findings {
  let findings: Partial<Findings>
  try {
    findings = JSON.parse(readFileSync(file, 'utf8')) as Partial<Findings>
  } catch (error) {
    throw new Error(`${file}: expected the results of a run as JSON: ${(error as Error).message}`)
  }
  if (findings.format !== 1 || !Array.isArray(findings.cells)) {
    throw new Error(`${file}: expected results of the workloads in format 1; make them with npm run bench`)
  }
  return findings as Findings
}

/**
 * Writes the page beside the results. The selection guide and the figures that the guide cites are written only of a full
 * and valid run of all workloads: they are committed.
 * @param file the results, whose name ends with `.json`
 * @returns the files that were written
 */
export function writeReport(file: string): string[] {
  const findings = readFindings(file)
  const written = [[file.replace(/(\.json)?$/, '.html'), page(findings)]]
  const isWhole = scenarioNames.every(name => workloadsOf(findings).includes(name))
  if (isWhole && findings.valid && !findings.settings.quick) {
    written.push(
      [inRepository('docs/selection-guide.md'), markdown(findings)],
      [inRepository('src/guide/measured.ts'), measuredSource(measuredOf(findings))],
    )
  }
  for (const [path, text] of written as [string, string][]) writeFileSync(path, text)
  return written.map(([path]) => path as string)
}
