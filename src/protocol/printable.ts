/**
 * Makes text safe for a terminal. Text of models, agents and servers may hold escape sequences, which move the cursor,
 * change the title or write the clipboard, and marks of direction, which show a text in another order than it has.
 */

/** Control characters but line feed and tab, and the marks that override or isolate the direction of text. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is searched
const hidden = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

/** `␛` for ESC, `␡` for DEL, and `<U+202E>` for what has no picture. */
function picture(character: string): string {
  const code = character.charCodeAt(0)
  if (code < 0x20) return String.fromCharCode(0x2400 + code)
  if (code === 0x7f) return '\u2421'
  return `<U+${code.toString(16).toUpperCase().padStart(4, '0')}>`
}

/** The text with every character visible that would control a terminal or reorder a line. Lines may end in CR LF. */
export function printable(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(hidden, picture)
}

/** Text of this program with colours: they stay, and everything else becomes visible as in {@link printable}. */
export function printableStyled(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: styles begin with one
  return text.replace(/(\x1b\[[\d;]*m)|[^\x1b]+|\x1b/g, (part, style) => (style ? part : printable(part)))
}

/** JSON text with the same characters as escapes, so that its value stays the same. */
export function printableJson(json: string): string {
  return json.replace(hidden, character =>
    // Between values JSON has no control character but white space.
    character === '\r' ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
