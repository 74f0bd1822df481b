/** Markdown's inline markup: taken out of what is read, and kept from arising in what is written. */

const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: ' ',
}

/** The text of a piece of Markdown without its markup; code spans keep their backticks. */
export function plainText(markdown: string): string {
  const code: string[] = []
  const text = markdown
    .replaceAll('\0', '')
    .replace(/(?<!`)(`{1,3})(?!`)([^`]+)\1(?!`)/g, (_span, _ticks, inner: string) => {
      code.push(`\`${inner.trim()}\``)
      return `\0${code.length - 1}\0`
    })
    .replace(/<!--.{0,2000}?-->/g, '')
    .replace(/<(https?:[^<>\s]{1,2000}|mailto:[^<>\s]{1,300})>/g, '$1')
    .replace(/<\/?[a-z][^<>]{0,2000}>/gi, '')
    .replace(/!\[[^\][]{0,500}\](?:\([^()]{0,2000}\)|\[[^\][]{0,200}\])/g, '')
    .replace(/\[\^[^\][]{1,100}\]:?/g, '')
    .replace(/\[([^\][]{0,1000})\](?:\([^()]{0,2000}\)|\[[^\][]{0,200}\])/g, '$1')
    .replace(/(?<!\\)(?:\*\*|~~)|(?<![\w\\])__(?=\S)|(?<=\S)__(?!\w)/g, '')
    .replace(/(?<![\w\\*])\*(?=[^\s*])([^*]{1,1000})(?<=[^\s\\])\*(?!\w)/g, '$1')
    .replace(/(?<![\w\\_])_(?=[^\s_])([^_]{1,1000})(?<=[^\s\\])_(?!\w)/g, '$1')
    .replace(/\\([!-/:-@[-`{-~])/g, '$1')
    .replace(/&(\w{2,4});/g, (entity, name: string) => ENTITIES[name] ?? entity)
    .replace(/\0(\d+)\0/g, (_mark, i: string) => code[Number(i)] ?? '')
  return text.replace(/\s+/g, ' ').trim()
}

/** Plain text with code spans as Markdown: what would read as a tag or as emphasis is escaped. */
export function escapeMarkdown(text: string): string {
  return text
    .split(/(`[^`]+`)/)
    .map((part, i) => (i % 2 === 1 ? part : part.replace(/<(?=[a-z/!?])|\*(?=\S)|(?<=\S)\*/gi, '\\$&')))
    .join('')
}
