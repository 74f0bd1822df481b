/** Texts are cut between characters. A character such as an emoji is two UTF-16 units, and half of one harms readers. */

/** The beginning of a text, at most `max` UTF-16 units, never half a character. */
export function beginning(text: string, max: number): string {
  if (text.length <= max) return text
  const end = text.charCodeAt(max - 1)
  return text.slice(0, end >= 0xd800 && end <= 0xdbff ? max - 1 : Math.max(0, max))
}
