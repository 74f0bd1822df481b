/** Shows Markdown. The text becomes React elements and never HTML, so a text cannot bring markup or scripts of its own. */
import { marked, type Token, type Tokens } from 'marked'
import { createElement, memo, type ReactNode } from 'react'

/** Addresses that a link may lead to. */
const SAFE_ADDRESS = /^(https?:|mailto:|\/(?!\/)|#)/i

function inline(tokens: readonly Token[] = []): ReactNode[] {
  return tokens.map((token, i) => <Inline key={i} token={token} />)
}

function Inline({ token }: { token: Token }): ReactNode {
  switch (token.type) {
    case 'strong':
      return <strong>{inline(token.tokens)}</strong>
    case 'em':
      return <em>{inline(token.tokens)}</em>
    case 'del':
      return <del>{inline(token.tokens)}</del>
    case 'codespan':
      return <code>{token['text']}</code>
    case 'br':
      return <br />
    case 'link': {
      const { href, tokens } = token as Tokens.Link
      if (!SAFE_ADDRESS.test(href)) return inline(tokens)
      return (
        <a href={href} target="_blank" rel="noreferrer">
          {inline(tokens)}
        </a>
      )
    }
    case 'text':
      return token.tokens ? inline(token.tokens) : token['text']
    case 'escape':
      return token['text']
    default:
      // HTML, images and whatever comes: as it was written.
      return token.raw
  }
}

function Cells({ row, as }: { row: readonly Tokens.TableCell[]; as: 'td' | 'th' }) {
  return (
    <tr>
      {row.map((cell, i) =>
        createElement(as, { key: i, style: { textAlign: cell.align ?? undefined } }, inline(cell.tokens)),
      )}
    </tr>
  )
}

/** A block is drawn again only when its text has changed: of a streaming answer that is the last one. */
const Block = memo(
  function Block({ token }: { token: Token }): ReactNode {
    switch (token.type) {
      case 'space':
      case 'def':
        return null
      case 'hr':
        return <hr />
      case 'heading':
        return createElement(`h${Math.min(6, token['depth'] + 2)}`, {}, inline(token.tokens))
      case 'code':
        return (
          <pre>
            <code>{token['text']}</code>
          </pre>
        )
      case 'blockquote':
        return <blockquote>{blocks(token.tokens)}</blockquote>
      case 'list': {
        const { ordered, start, items } = token as Tokens.List
        const listed = items.map((item, i) => <li key={i}>{blocks(item.tokens)}</li>)
        return ordered ? <ol start={Number(start)}>{listed}</ol> : <ul>{listed}</ul>
      }
      case 'table': {
        const { header, rows } = token as Tokens.Table
        return (
          <div className="table">
            <table>
              {header.some(({ text }) => text) && (
                <thead>
                  <Cells row={header} as="th" />
                </thead>
              )}
              <tbody>
                {rows.map((row, i) => (
                  <Cells key={i} row={row} as="td" />
                ))}
              </tbody>
            </table>
          </div>
        )
      }
      case 'paragraph':
        return <p>{inline(token.tokens)}</p>
      default:
        return <Inline token={token} />
    }
  },
  (before, after) => before.token.raw === after.token.raw && before.token.type === after.token.type,
)

function blocks(tokens: readonly Token[] = []): ReactNode[] {
  return tokens.map((token, i) => <Block key={i} token={token} />)
}

export function Markdown({ text }: { text: string }) {
  return <div className="markdown">{blocks(marked.lexer(text))}</div>
}
