/** The report as Markdown: `docs/selection-guide.md`. Pure. */
import { figure, type Table } from '../report.ts'
import { workloads } from '../workloads/workloads.ts'
import { dateOf, machineOf } from './figures.ts'
import type { Findings, Variant } from './findings.ts'
import { commands, limits, method, reading } from './method.ts'
import { summaryOf, trialText } from './sentences.ts'
import {
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
import { validityLine } from './validity.ts'
import { type Verdict, verdicts } from './verdict.ts'

/** Escapes text for Markdown and its tables. */
const plain = (text: string) => text.replace(/[\\|*_<>[\]]/g, '\\$&').replace(/\s+/g, ' ')

/** The table; nothing when it has no rows. */
function tableMarkdown({ columns, rows }: Table): string[] {
  if (rows.length === 0) return []
  const line = (cells: readonly (string | number)[]) =>
    `| ${cells.map(cell => (typeof cell === 'number' ? figure(cell) : plain(cell))).join(' | ')} |`
  return [[line(columns), `|${columns.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n')]
}

const bullets = (items: readonly string[]) => items.map(item => `- ${item}`).join('\n')

const titled = (heading: string, parts: readonly string[]) => (parts.length > 0 ? [heading, ...parts] : [])

function scenarioParts(verdict: Verdict): string[] {
  const { name, scenario, trials, wasMeasured } = verdict
  const about = Object.values(workloads).find(workload => workload.name === name)?.about
  return [
    `### ${scenario.title}`,
    scenario.about,
    ...summaryOf(verdict),
    ...(trials.length > 0 ? [bullets(trials.map(trialText))] : []),
    ...(wasMeasured && about ? [`Workload: ${about}`] : []),
    ...(wasMeasured ? tableMarkdown(comparisonTable(verdict)) : []),
  ]
}

const ours = ({ server }: Variant) => server === 'twinrail'

/** The complete document. */
export function markdown(findings: Findings): string {
  const all = verdicts(findings)
  const ofTutorial = all.filter(({ scenario }) => scenario.teaching)
  const others = all.filter(({ scenario }) => !scenario.teaching)
  const widest = widestWorkload(findings) ?? ''
  const failed = findings.checks.filter(({ holds }) => !holds)
  const peers = peerTables(findings).flatMap(table => [`Workload ${table.title}:`, ...tableMarkdown(table)])
  const parts = [
    '<!-- Made by the benchmark (npm run bench), not by hand. -->',
    '# Selection guide: SSE or WebSocket, measured',
    `Measured on ${dateOf(findings)}: ${plain(machineOf(findings))}. ${findings.checks.length - failed.length} of ${findings.checks.length} checks of the run hold.${findings.settings.quick ? ' It was a quick run: do not cite its figures.' : ''} Short and without figures: [choosing a transport](choosing-a-transport.md).`,
    ...(findings.valid ? [] : [`**The run is ${validityLine(findings.checks)}. Do not use these figures.**`]),
    '## What to use',
    ...tableMarkdown(verdictTable(all)),
    reading,
    '## The five scenarios of the tutorial',
    ...ofTutorial.flatMap(scenarioParts),
    '## Five more',
    ...others.flatMap(scenarioParts),
    ...titled('## Is the latency of WebSocket lower?', tableMarkdown(latencyTable(findings, all))),
    ...titled('## What clients send', tableMarkdown(uplinkTable(findings))),
    ...titled(
      `## Compression, TLS and HTTP/2`,
      tableMarkdown(cellTable(findings, widest, ours)).flatMap(table => [`Workload ${widest}:`, table]),
    ),
    ...titled('## Through nginx', tableMarkdown(cellTable(findings, 'buffered', ours))),
    ...titled('## Compared with other servers', peers),
    ...titled('## Memory', tableMarkdown(memoryTable(findings))),
    ...titled('## Slow readers', tableMarkdown(slowTable(findings))),
    ...titled('## Reconnect storms', tableMarkdown(stormTable(findings))),
    '## Method',
    bullets(method),
    '## Limits',
    bullets(limits),
    ...titled('## What was not measured', tableMarkdown(leftOutTable(findings))),
    '## Checks',
    ...tableMarkdown(checksTable(findings)),
    '## Environment, and how to measure again',
    ...tableMarkdown(environmentTable(findings)),
    `\`\`\`\n${Object.values(commands).join('\n')}\n\`\`\``,
  ]
  return `${parts.join('\n\n')}\n`
}
