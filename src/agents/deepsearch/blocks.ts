/** The blocks of a document, whatever its format, and what formats share in making them. */
import { slices } from './tokens.ts'

/** A paragraph is read up to this length in one go, in chars; what is longer becomes several. */
const BLOCK_CHARS = 20_000

/** What every document format is turned into: a flat row of blocks. */
export type Block =
  /** What the document calls itself. */
  | { kind: 'title'; text: string }
  /** `id` is the fragment that a link to it uses, where the format says so. */
  | { kind: 'heading'; level: number; text: string; id?: string }
  /** Readable text; code spans stand in backticks, all other markup is gone. */
  | { kind: 'prose' | 'item' | 'row'; text: string }
  | { kind: 'code'; text: string; language?: string }
  /** Nothing yet: so much work was done that others should get a turn of the event loop. */
  | { kind: 'pause' }

/** Joins lines of one paragraph; between Han or kana a line break is no space. */
export function joinLines(lines: readonly string[]): string {
  return lines
    .map(line => line.trim())
    .filter(line => line !== '')
    .join('\n')
    .replace(
      /(?<=[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}，。、；：！？])\n(?=[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}])/gu,
      '',
    )
    .replaceAll('\n', ' ')
}

/**
 * A table row as text that reads without the table: `first cell: second`, with
 * more columns `first cell – header: second; header: third`. Empty when it has nothing to say.
 */
export function rowText(headers: readonly string[], cells: readonly string[]): string {
  const [subject = '', ...values] = cells.map(cell => cell.trim())
  const named = values.map((value, i) => {
    const header = headers[i + 1]?.trim() ?? ''
    return value && header && values.length > 1 ? `${header}: ${value}` : value
  })
  const said = named.filter(value => value !== '').join('; ')
  return subject && said ? `${subject}${values.length > 1 ? ' –' : ':'} ${said}` : subject || said
}

/** Blocks of plain text: paragraphs between blank lines. */
export function* textBlocks(text: string): Generator<Block> {
  for (const paragraph of text.split(/\r?\n[^\S\n]*(?:\r?\n)+/)) {
    for (const part of slices(paragraph, BLOCK_CHARS)) {
      const text = joinLines(part.split('\n'))
      if (text) yield { kind: 'prose', text }
    }
  }
}
