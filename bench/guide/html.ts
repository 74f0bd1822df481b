/** Text and tables as HTML. Pure. */
import { figure, type Table } from '../report.ts'

/** Text for HTML and its attributes. */
export const escaped = (text: string) => text.replace(/[&<>"']/g, char => `&#${char.charCodeAt(0)};`)

/** Text with `code` in backticks. */
export const inline = (text: string) => escaped(text).replace(/`([^`]+)`/g, '<code>$1</code>')

const numeric = /^[–<]?\s?-?[\d.]/

/** The table in a box that scrolls by itself, by keyboard too. */
export function tableHtml({ title, columns, rows }: Table): string {
  const heads = columns.map(column => `<th scope="col">${inline(column)}</th>`).join('')
  const body = rows.map(row => {
    const cells = row.map((cell, i) => {
      const text = typeof cell === 'number' ? figure(cell) : cell
      if (i === 0) return `<th scope="row">${inline(text)}</th>`
      const kind =
        text === 'FAILED' ? ' class="bad"' : numeric.test(text) || text === '–' ? ' class="number"' : ''
      return `<td${kind}>${inline(text)}</td>`
    })
    return `<tr>${cells.join('')}</tr>`
  })
  return `<div class="scroll" tabindex="0" role="region" aria-label="${escaped(title)}"><table><caption>${inline(title)}</caption><thead><tr>${heads}</tr></thead><tbody>${body.join('\n')}</tbody></table></div>`
}

export const list = (items: readonly string[]) =>
  `<ul>${items.map(item => `<li>${inline(item)}</li>`).join('\n')}</ul>`

/** Something that opens on demand. */
export const folded = (summary: string, content: string) =>
  `<details><summary>${escaped(summary)}</summary>${content}</details>`
