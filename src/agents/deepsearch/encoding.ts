/** Finds out in which encoding a text file is written, and reads it. */

/** Size of the sample from which the encoding is guessed when there is no byte order mark, in bytes. */
const SAMPLE_BYTES = 64 * 1024

/** With this share of zeros in every other byte, bytes are UTF-16. */
const UTF16_ZEROS = 0.4

/** With this share of frequent characters among those of two bytes, bytes are GBK and not Latin-1. */
const GBK_FREQUENT = 0.7

/**
 * The text in a file: by its byte order mark, else UTF-8 where it is that, else UTF-16, GBK (GB 18030) or Latin-1
 * (Windows-1252) by how its bytes are distributed. `undefined` for a file that is no text.
 */
export function decodeText(bytes: Uint8Array): string | undefined {
  const marked = markedEncoding(bytes)
  const text = marked ? decoded(bytes, marked) : guessedText(bytes)
  return text?.includes('\0') ? undefined : text
}

function markedEncoding([first, second, third]: Uint8Array): string | undefined {
  if (first === 0xef && second === 0xbb && third === 0xbf) return 'utf-8'
  if (first === 0xff && second === 0xfe) return 'utf-16le'
  if (first === 0xfe && second === 0xff) return 'utf-16be'
  return undefined
}

function guessedText(bytes: Uint8Array): string | undefined {
  const sample = bytes.subarray(0, SAMPLE_BYTES)
  if (sample.includes(0)) {
    const encoding = utf16(sample)
    return encoding && decoded(bytes, encoding)
  }
  const utf8 = decoded(bytes, 'utf-8')
  if (utf8 !== undefined) return utf8
  const controls = sample.filter(byte => byte < 32 && ![9, 10, 12, 13, 27].includes(byte)).length
  if (controls > 0) return undefined
  return (isGbk(sample) ? decoded(bytes, 'gb18030') : undefined) ?? decoded(bytes, 'windows-1252')
}

/** Latin text in UTF-16 has a zero in each character, on one side. */
function utf16(sample: Uint8Array): string | undefined {
  const zeros = [0, 0]
  for (const [i, byte] of sample.entries()) if (byte === 0) zeros[i % 2]!++
  const [even = 0, odd = 0] = zeros
  const enough = (sample.length / 2) * UTF16_ZEROS
  if (odd >= enough && odd > 8 * even) return 'utf-16le'
  if (even >= enough && even > 8 * odd) return 'utf-16be'
  return undefined
}

/** Chinese text in GBK is pairs of high bytes, mostly of the 3,755 frequent characters (B0A1 to D7F9) and punctuation. */
function isGbk(sample: Uint8Array): boolean {
  let pairs = 0
  let frequent = 0
  for (let i = 0; i + 1 < sample.length; i++) {
    const lead = sample[i]!
    const trail = sample[i + 1]!
    if (lead < 0x81) continue
    if (trail < 0x40 || trail === 0x7f || trail === 0xff) return false
    pairs++
    const isCharacter = lead >= 0xb0 && lead <= 0xd7
    const isPunctuation = lead >= 0xa1 && lead <= 0xa3
    if (trail >= 0xa1 && (isCharacter || isPunctuation)) frequent++
    i++
  }
  return pairs > 0 && frequent >= GBK_FREQUENT * pairs
}

/** The characters that Windows-1252 has at 80 to 9F; Node 20 decodes them as Latin-1, where they are controls. */
const WINDOWS_1252 = '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ'

function decoded(bytes: Uint8Array, encoding: string): string | undefined {
  try {
    const text = new TextDecoder(encoding, { fatal: true }).decode(bytes)
    if (encoding !== 'windows-1252') return text
    return text.replace(/[\u0080-\u009f]/g, control => WINDOWS_1252[control.charCodeAt(0) - 0x80]!)
  } catch {
    return undefined
  }
}
