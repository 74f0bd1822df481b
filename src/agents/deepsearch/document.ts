/** Reads a Markdown, HTML or plain text document as a flat sequence of blocks. */
import { type Block, headingBlock, textBlock } from './block.ts'
import { htmlBlocks } from './html.ts'
import { markdownBlocks } from './markdown.ts'
import { joinLines, slices } from './text.ts'

/** Reads a document in the format that its file name says; unknown extensions are plain text. */
export function documentBlocks(file: string, source: string): Iterable<Block> {
  if (/\.html?$/i.test(file)) return htmlBlocks(source)
  if (/\.(?:md|markdown)$/i.test(file)) return markdownBlocks(source)
  if (/\.mdx$/i.test(file)) return markdownBlocks(withoutModules(source))
  if (/\.rst$/i.test(file)) return markupBlocks(source, underlinedHeading)
  if (/\.(?:adoc|asciidoc)$/i.test(file)) return markupBlocks(source, markedHeading)
  return textBlocks(source)
}

/** Removes the `import` and `export` lines of MDX; its components are read as HTML. */
function withoutModules(source: string): string {
  return source.replace(/^(?:import|export)\s.*(?:\r?\n|$)/gm, '')
}

type HeadingRule = (lines: readonly string[]) => { level: number; text: string } | undefined

/** The heading of reStructuredText: a line with a line of marks below it, and maybe one above. */
const underlinedHeading: HeadingRule = lines => {
  const [text = '', marks = ''] = /^([=\-`:'"~^_*+#<>.])\1{2,}\s*$/.test(lines[0] ?? '')
    ? lines.slice(1)
    : lines
  const [, mark] = /^([=\-`:'"~^_*+#<>.])\1{2,}\s*$/.exec(marks) ?? []
  if (mark === undefined || !/[\p{L}\p{N}]/u.test(text)) return undefined
  return { level: 1 + Math.max(0, '=-~^'.indexOf(mark)), text: text.trim() }
}

/** The heading of AsciiDoc: `== Text`. */
const markedHeading: HeadingRule = ([line = '']) => {
  const [, marks, text] = /^(={1,6})\s+(\S.*)$/.exec(line) ?? []
  return marks && text ? { level: marks.length, text } : undefined
}

/** Reads light markup paragraph by paragraph: headings by a rule, the rest as it stands. */
function* markupBlocks(source: string, headingOf: HeadingRule): Generator<Block> {
  for (const paragraph of source.split(/\r?\n[^\S\n]*(?:\r?\n)+/)) {
    const heading = headingOf(paragraph.split(/\r?\n/))
    if (heading) yield headingBlock(heading.text, heading.level)
    const rest = heading
      ? paragraph
          .split(/\r?\n/)
          .filter(line => isBody(line, heading.text))
          .join('\n')
      : paragraph
    yield* textBlocks(rest)
  }
}

/** Whether a line of a heading's paragraph is neither the heading nor its marks. */
function isBody(line: string, heading: string): boolean {
  return !line.trim().endsWith(heading) && /[\p{L}\p{N}]/u.test(line)
}

/** A longer paragraph of plain text is read as several, in chars. */
const PARAGRAPH_CHARS = 20_000

/** Reads plain text: paragraphs are separated by blank lines. */
function* textBlocks(source: string): Generator<Block> {
  for (const paragraph of source.split(/\r?\n[^\S\n]*(?:\r?\n)+/)) {
    for (const part of slices(paragraph, PARAGRAPH_CHARS)) {
      const text = joinLines(part.split('\n'))
      if (text) yield textBlock('prose', text)
    }
  }
}
