/** The Markdown that answers use: paragraphs, lists, code, bold, citations. Everything becomes text nodes. */
import { memo, type ReactNode } from 'react'

/** Escapes, code, bold and citations. */
const marks = /\\([!-/:-@[-`{-~])|(`+)(.+?)\2(?!`)|\*\*(.+?)\*\*|\[(\d+)\]/g

export function inline(text: string, cite: (number: number) => ReactNode): ReactNode[] {
  const nodes: ReactNode[] = []
  let end = 0
  for (const match of text.matchAll(marks)) {
    const [all, escaped, , code, bold, number] = match
    nodes.push(text.slice(end, match.index))
    end = match.index + all.length
    const key = match.index
    if (code) nodes.push(<code key={key}>{code}</code>)
    else if (bold) nodes.push(<strong key={key}>{inline(bold, cite)}</strong>)
    else nodes.push(escaped ?? cite(Number(number)))
  }
  return [...nodes, text.slice(end)]
}

/** Splits at blank lines, but not within fenced code. */
function blocksOf(text: string): string[] {
  const blocks: string[][] = [[]]
  let fence: string | undefined
  for (const line of text.split('\n')) {
    const ticks = /^`{3,}/.exec(line)?.[0]
    if (!fence && (ticks || line.trim() === '')) blocks.push([])
    blocks.at(-1)!.push(line)
    if (fence && line.trim() === fence) {
      blocks.push([])
      fence = undefined
    } else fence ??= ticks
  }
  return blocks.map(lines => lines.join('\n').replace(/^\s*\n|\s+$/g, '')).filter(block => block !== '')
}

/** Blocks that did not change are not drawn again. */
const Block = memo(function Block({ text, onCite }: { text: string; onCite: (number: number) => void }) {
  const cite = (number: number) => (
    <button type="button" className="cite" aria-label={`Source ${number}`} onClick={() => onCite(number)}>
      [{number}]
    </button>
  )
  if (text.startsWith('```')) return <pre>{text.replace(/^.*\n?|\n`+$/g, '')}</pre>
  if (!/^[-*] /.test(text)) return <p>{inline(text, cite)}</p>
  const items = text.split(/\n(?=[-*] )/)
  return (
    <ul>
      {items.map((item, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: items only grow at the end
        <li key={i}>{inline(item.slice(2), cite)}</li>
      ))}
    </ul>
  )
})

export function Markdown({ text, onCite }: { text: string; onCite: (number: number) => void }) {
  return (
    <div className="part">
      {blocksOf(text).map((block, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: blocks only grow at the end
        <Block key={i} text={block} onCite={onCite} />
      ))}
    </div>
  )
}
