/** The report as one HTML page that needs nothing else: no script, no request. Pure. */
import { workloads } from '../workloads/workloads.ts'
import { isPlain, transportNames, workloadsOf } from './cells.ts'
import { dateOf, machineOf } from './figures.ts'
import type { Cell, Findings, Variant } from './findings.ts'
import { escaped, inline, list, tableHtml } from './html.ts'
import { commands, limits, method, reading } from './method.ts'
import { bytesPlot, cpuPlot, latencyPlot, memoryPlot, stormPlot } from './page-plots.ts'
import { style } from './page-style.ts'
import { summaryOf, trialText } from './sentences.ts'
import {
  cellsOf,
  cellTable,
  checksTable,
  comparisonTable,
  environmentTable,
  latencyTable,
  leftOutTable,
  memoryTable,
  peerTables,
  slowTable,
  stormTable,
  uplinkTable,
  verdictTable,
  widestWorkload,
} from './tables.ts'
import { type Verdict, verdicts } from './verdict.ts'

const section = (id: string, title: string, ...content: string[]) =>
  `<section id="${id}"><h2>${escaped(title)}</h2>${content.join('\n')}</section>`

const plots = (...all: string[]) => `<div class="plots">${all.join('\n')}</div>`

/** Green when every check holds; else red, with what failed. */
function validity({ checks, valid, settings }: Findings): string {
  const quick = settings.quick ? ' It was a quick run: its figures are for trying out, not for citing.' : ''
  if (valid) return `<p class="verdict"><strong>Valid.</strong> All ${checks.length} checks hold.${quick}</p>`
  const failed = checks
    .filter(({ holds }) => !holds)
    .map(({ what, detail }) => (detail ? `${what}: ${detail}` : what))
  return `<div class="verdict invalid" role="alert"><p><strong>Invalid: do not use these figures.</strong>${quick} What failed:</p>${list(failed)}</div>`
}

function scenarioCard(findings: Findings, verdict: Verdict): string {
  const { name, scenario, trials } = verdict
  const about = Object.values(workloads).find(workload => workload.name === name)?.about
  const cells = cellsOf(findings, name)
  const plain = cells.filter(({ variant }) => isPlainOrFloor(findings, variant))
  const drawn = name === 'buffered' ? cells : plain
  const parts = [
    `<h3>${escaped(scenario.title)}</h3>`,
    `<p class="soft">${inline(scenario.about)}</p>`,
    ...summaryOf(verdict).map(sentence => `<p>${inline(sentence)}</p>`),
    ...(trials.length > 0 ? [list(trials.map(trialText))] : []),
  ]
  if (cells.length > 0) {
    parts.push(
      ...(about ? [`<p class="soft">Workload: ${inline(about)}</p>`] : []),
      tableHtml(comparisonTable(verdict)),
      plots(
        ...latencyPlots(findings, drawn),
        cpuPlot(findings, drawn),
        bytesPlot(findings, drawn),
        stormPlot(findings, drawn),
      ),
    )
  }
  return `<article class="card" id="${name}">${parts.join('\n')}</article>`
}

const isMatrix = ({ server }: Variant) => server === 'twinrail'

/** A plot for each path from client to server. */
function latencyPlots(findings: Findings, cells: readonly Cell[]): string[] {
  const pathOf = ({ variant: name }: Cell) => findings.variants.find(variant => variant.name === name)?.path
  const paths = [...new Set(cells.map(pathOf))]
  return paths.map(path =>
    latencyPlot(
      findings,
      cells.filter(cell => pathOf(cell) === path),
      paths.length === 1 ? 'Publish → receive' : `Publish → receive, ${path}`,
    ),
  )
}

/** Our plain variants and the floor: what each workload's plots show. */
function isPlainOrFloor({ variants }: Findings, name: string): boolean {
  const variant = variants.find(variant => variant.name === name)
  return variant !== undefined && (isPlain(variant) || variant.server === 'floor')
}

/** Compression, TLS and HTTP/2 in the workload that was run on them; the peers, where they fit. */
function variantsSections(findings: Findings): string[] {
  const widest = widestWorkload(findings)
  if (widest === undefined) return []
  const named = (wanted: (variant: Variant) => boolean) => (cell: { variant: string }) =>
    findings.variants.some(variant => variant.name === cell.variant && wanted(variant))
  const matrix = cellsOf(findings, widest).filter(named(isMatrix))
  const peers = cellsOf(findings, widest).filter(
    named(variant => !isMatrix(variant) || isPlainOrFloor(findings, variant.name)),
  )
  return [
    section(
      'matrix',
      'Compression, TLS, HTTP/2, nginx',
      tableHtml({ ...cellTable(findings, widest, isMatrix), title: `Workload ${widest}` }),
      plots(cpuPlot(findings, matrix), bytesPlot(findings, matrix)),
      ...(workloadsOf(findings).includes('buffered')
        ? [tableHtml({ ...cellTable(findings, 'buffered', isMatrix), title: 'Through nginx' })]
        : []),
    ),
    section(
      'peers',
      'Beside other servers',
      ...peerTables(findings).map(table =>
        tableHtml({ ...table, title: `Workload ${table.title}: the floor of bare sockets, peers and ours` }),
      ),
      plots(cpuPlot(findings, peers), bytesPlot(findings, peers)),
    ),
  ]
}

const memoryOf = (findings: Findings, whose: 'plain' | 'peer') =>
  findings.memory.filter(({ variant: name }) => {
    const variant = findings.variants.find(variant => variant.name === name)
    return whose === 'plain'
      ? isPlainOrFloor(findings, name)
      : variant !== undefined && variant.server !== 'twinrail'
  })

const filled = (table: Parameters<typeof tableHtml>[0]) => (table.rows.length > 0 ? [tableHtml(table)] : [])

/** The page. */
export function page(findings: Findings): string {
  const all = verdicts(findings)
  const [, ...others] = Object.values(transportNames)
  const title = `SSE or ${others[0]}, measured`
  const sections = [
    section(
      'verdicts',
      'What to use',
      tableHtml(verdictTable(all)),
      `<p class="soft">${inline(reading)}</p>`,
    ),
    section('scenarios', 'Scenario by scenario', ...all.map(verdict => scenarioCard(findings, verdict))),
    section('latency', 'Does WebSocket have lower latency?', tableHtml(latencyTable(findings, all))),
    section('commands', 'What clients send', ...filled(uplinkTable(findings))),
    ...variantsSections(findings),
    section(
      'memory',
      'Memory',
      tableHtml(memoryTable(findings)),
      plots(
        memoryPlot(findings, memoryOf(findings, 'plain'), 'Memory of our server'),
        memoryPlot(findings, memoryOf(findings, 'peer'), 'Memory of the peers'),
      ),
    ),
    section(
      'trouble',
      'Slow readers and storms',
      ...filled(slowTable(findings)),
      ...filled(stormTable(findings)),
    ),
    section('checks', 'Checks', tableHtml(checksTable(findings)), ...filled(leftOutTable(findings))),
    section('method', 'Method', list(method), '<h3>Limits</h3>', list(limits)),
    section(
      'again',
      'Environment, and how to measure again',
      tableHtml(environmentTable(findings)),
      `<pre tabindex="0">${Object.values(commands).map(escaped).join('\n')}</pre>`,
    ),
  ]
  const links = all.map(({ name, scenario }) => `<li><a href="#${name}">${escaped(scenario.title)}</a></li>`)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>${escaped(title)}</title>
<style>${style}</style>
</head>
<body>
<header>
<h1>${escaped(title)}</h1>
<p class="soft">${escaped(dateOf(findings))} · ${escaped(machineOf(findings))}</p>
${validity(findings)}
<nav aria-label="Scenarios"><ul>${links.join('')}</ul></nav>
</header>
<main>
${sections.join('\n')}
</main>
</body>
</html>
`
}
