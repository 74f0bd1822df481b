/** Writes the report of a results file: the selection guide and the guide's figures, or a report beside the file. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { scenarioNames } from '../package/guide.ts'
import { workloadsOf } from './cells.ts'
import { measuredOf, measuredSource } from './figures.ts'
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
 * @returns the files that were written
 */
export function writeReport(file: string): string[] {
  const findings = readFindings(file)
  const isWhole = scenarioNames.every(name => workloadsOf(findings).includes(name))
  const isCitable = isWhole && findings.valid && !findings.settings.quick
  const written: [path: string, text: string][] = isCitable
    ? [
        [inRepository('docs/selection-guide.md'), markdown(findings)],
        [inRepository('src/guide/measured.ts'), measuredSource(measuredOf(findings))],
      ]
    : [[file.replace(/(\.json)?$/, '.md'), markdown(findings)]]
  for (const [path, text] of written) writeFileSync(path, text)
  return written.map(([path]) => path)
}
