/** The Markdown that answers use: paragraphs, headings, lists, code, bold, links, citations. Everything becomes text nodes. */
import { memo, type ReactNode, useState } from 'react'
import { Blocks } from './blocks.ts'

/** Makes the link of a citation, by its number. */
export type Cite = (number: number) => ReactNode

/** Escapes, code, bold, links and citations. */
const marks =
  /\\([!-/:-@[-`{-~])|(`+)(.+?)\2(?!`)|\*\*(.+?)\*\*|\[([^[\]]+)\]\((https?:[^\s()]+)\)|\[(\d{1,3})\]/g

function inline(text: string, cite: Cite): ReactNode[] {
  const nodes: ReactNode[] = []
  let end = 0
  for (const match of text.matchAll(marks)) {
    const [all, escaped, , code, bold, label, url, number] = match
    nodes.push(text.slice(end, match.index))
    end = match.index + all.length
    const key = match.index
    if (code) nodes.push(<code key={key}>{code}</code>)
    else if (bold) nodes.push(<strong key={key}>{inline(bold, cite)}</strong>)
    else if (url)
      nodes.push(
        <a key={key} href={url} target="_blank" rel="noreferrer">
          {label}
        </a>,
      )
    else if (number) nodes.push(<span key={key}>{cite(Number(number))}</span>)
    else nodes.push(escaped)
  }
  return [...nodes, text.slice(end)]
}

/** Blocks that did not change are not drawn again. */
const Block = memo(function Block({ text, cite }: { text: string; cite: Cite }) {
  if (text.startsWith('```')) return <pre>{text.replace(/^.*\n?|\n`+$/g, '')}</pre>
  const heading = /^#{1,6} (.*)$/.exec(text)
  if (heading) return <h4>{inline(heading[1]!, cite)}</h4>
  const marker = /^(?:[-*]|(\d+)\.) /.exec(text)
  if (!marker) return <p>{inline(text, cite)}</p>
  const items = text.split(/\n(?=(?:[-*]|\d+\.) )/)
  const List = marker[1] ? 'ol' : 'ul'
  return (
    <List>
      {items.map((item, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: items only grow at the end
        <li key={i}>{inline(item.replace(/^\S+ /, ''), cite)}</li>
      ))}
    </List>
  )
})

/** @param cite keep its identity, or every block is drawn again */
export function Markdown({ text, cite }: { text: string; cite: Cite }) {
  const [blocks] = useState(() => new Blocks())
  return (
    <div className="part">
      {blocks.of(text).map((block, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: blocks only grow at the end
        <Block key={i} text={block} cite={cite} />
      ))}
    </div>
  )
}
