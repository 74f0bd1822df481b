/** The plot of `fanout`: server CPU per delivered event, as an SVG that follows the reader's light or dark colours. Pure. */
import { figure, type Result, type Table } from './report.ts'

const PANEL = { width: 430, gap: 40, top: 64, bottom: 30 }
const ROW = { height: 26, bar: 16 }
/** Where bars begin, and the space for the figure after the longest one. */
const LABEL = 150
const VALUE = 56

const style = `
text { font: 13px system-ui, sans-serif; fill: #545c6b }
.title { font-weight: 600; font-size: 15px; fill: #171a21 }
.ours { font-weight: 600; fill: #171a21 }
.value { font-variant-numeric: tabular-nums }
rect { fill: #a5adbb }
rect.ours { fill: #1464c0 }
rect.floor { fill: none; stroke: #a5adbb; stroke-dasharray: 3 2 }
@media (prefers-color-scheme: dark) {
text { fill: #a5adbb }
.title, .ours { fill: #eceff4 }
rect { fill: #6b7280 }
rect.ours { fill: #6db1ff }
rect.floor { stroke: #98a1b0 }
}`

/** Escapes text for XML. */
const escaped = (text: string) => text.replace(/[&<>"']/g, char => `&#${char.charCodeAt(0)};`)

const kindOf = (name: string) =>
  name.startsWith('twinrail') ? 'ours' : name.startsWith('floor') ? 'floor' : 'peer'

function panel({ title, rows }: Table, left: number): string {
  const costs = rows.map(([name, us]) => ({ name: String(name), us: Number(us) })).sort((a, b) => a.us - b.us)
  const largest = Math.max(...costs.map(({ us }) => us))
  const drawn = costs.map(({ name, us }, row) => {
    const top = PANEL.top + row * ROW.height
    const width = ((PANEL.width - LABEL - VALUE) * us) / largest
    const kind = kindOf(name)
    return `<text class="${kind}" x="${left + LABEL - 8}" y="${top + 13}" text-anchor="end">${escaped(name)}</text>
<rect class="${kind}" x="${left + LABEL}" y="${top}" width="${width.toFixed(1)}" height="${ROW.bar}" rx="2"/>
<text class="value ${kind}" x="${(left + LABEL + width + 6).toFixed(1)}" y="${top + 13}">${figure(us)}</text>`
  })
  const [, perTurn = ''] = title.split(', ')
  return `<text class="title" x="${left + LABEL}" y="48">${escaped(perTurn.replace('per turn', 'per event-loop turn'))}</text>
${drawn.join('\n')}`
}

/**
 * @param result of the scenario `fanout`
 * @returns an SVG file
 */
export function fanoutPicture({ tables }: Result): string {
  const panels = tables.filter(({ title }) => title.startsWith('Fan-out'))
  const rows = Math.max(...panels.map(table => table.rows.length))
  const width = panels.length * PANEL.width + (panels.length - 1) * PANEL.gap
  const height = PANEL.top + rows * ROW.height + PANEL.bottom
  const title = 'CPU time of the server per delivered event, µs, 300 subscribers; shorter is better'
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
<style>${style}
</style>
<text class="title" x="0" y="20">${title}</text>
${panels.map((table, i) => panel(table, i * (PANEL.width + PANEL.gap))).join('\n')}
<text x="0" y="${height - 8}">floor: bare sockets that get ready-made bytes, the least that Node can do</text>
</svg>
`
}
