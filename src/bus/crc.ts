/** CRC-32 checksums that can be combined (zlib's crc32_combine): bytes that many streams share are summed once. */
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

/** The factor that moves a checksum past `length` bytes: x to the power of 8 × length. */
function shiftOf(length: number): number {
  let shift = 1 << 31
  for (let n = 3; length > 0; n++) {
    if (length % 2 === 1) shift = multiply(powers[n & 31] as number, shift)
    length = Math.floor(length / 2)
  }
  return shift
}

/** The checksum of some bytes. Adding it to a stream's checksum costs one multiplication, however many they are. */
export class CombinableCrc {
  readonly length: number
  readonly #crc: number
  readonly #shift: number

  constructor(bytes: Buffer) {
    this.length = bytes.length
    this.#crc = crc32(bytes)
    this.#shift = shiftOf(bytes.length)
  }

  /** The checksum of a stream that continues with these bytes. @param crc its checksum so far, 0 at its start */
  appendTo(crc: number): number {
    return (multiply(this.#shift, crc) ^ this.#crc) >>> 0
  }
}
