/** Checksums that can be joined, so that bytes shared by many streams are summed once (zlib's crc32_combine). */
import { crc32 } from 'node:zlib'

/** The CRC-32 polynomial, lowest bit last. */
const POLYNOMIAL = 0xedb88320

/** Product of two polynomials modulo the CRC's. */
function multiply(a: number, b: number): number {
  let product = 0
  for (let bit = 1 << 31; bit !== 0; bit >>>= 1) {
    if (a & bit) product ^= b
    b = b & 1 ? (b >>> 1) ^ POLYNOMIAL : b >>> 1
  }
  return product >>> 0
}

/** x to the power of 2^n, n = 0 … 31. */
const powers = (() => {
  const table = [1 << 30]
  for (let n = 1; n < 32; n++) table.push(multiply(table[n - 1] as number, table[n - 1] as number))
  return table
})()

/** What moves a checksum past so many bytes: x to the power of 8 × length. */
function shiftOf(length: number): number {
  let shift = 1 << 31
  for (let n = 3; length > 0; n++) {
    if (length % 2 === 1) shift = multiply(powers[n & 31] as number, shift)
    length = Math.floor(length / 2)
  }
  return shift
}

/** Summed bytes, ready to be added to any stream's sum at the cost of one multiplication. */
export class Summed {
  readonly length: number
  readonly #crc: number
  readonly #shift: number

  constructor(bytes: Buffer) {
    this.length = bytes.length
    this.#crc = crc32(bytes)
    this.#shift = shiftOf(bytes.length)
  }

  /** The checksum of what `crc` sums followed by these bytes. */
  addTo(crc: number): number {
    return (multiply(this.#shift, crc) ^ this.#crc) >>> 0
  }
}
