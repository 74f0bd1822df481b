/** JSON from outside: the one parser of all doors, and what it refuses because it could not be passed on unchanged. */
import { TwinrailError } from './errors.ts'
import { mustHaveFewParts } from './json-parts.ts'
import { beginning } from './text.ts'

/** A fault in a JSON value. */
export interface JsonFault {
  /** The path of the value, such as `data.steps.0`; empty for the whole. At most 256 UTF-16 units. */
  readonly path: string
  /** What is wrong, and what to send, for people. */
  readonly why: string
}

/**
 * Parses JSON. `fault` is set when the text holds an integer that JavaScript cannot hold: one beyond ±(2^53 − 1), written
 * without fraction and exponent. Other numbers are rounded to 64 bits, as JSON parsers do. A byte order mark at the
 * beginning is skipped. {@link faultOf} finds the faults that the value itself shows.
 * @throws TwinrailError `bad-request` when the text is not JSON, or has too many arrays and objects
 */
export function readJson(text: string, what: string): { value: unknown; fault?: TwinrailError } {
  const json = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
  mustHaveFewParts(json, what)
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (error) {
    const [place = ''] = / at position \d+/.exec(String(error)) ?? []
    throw new TwinrailError('bad-request', `${what}: ${json.trim() === '' ? 'empty' : `not JSON${place}`}`)
  }
  if (!LONG_NUMBER.test(json) || !hasUnsafeInteger(json)) return { value }
  const why = 'an integer beyond ±9007199254740991 would be changed; send it as a string'
  return { value, fault: new TwinrailError('bad-request', `${what}: ${why}`) }
}

/** The value of {@link readJson}. @throws TwinrailError `bad-request` when the text is not JSON, or its `fault` */
export function parseJson(text: string, what: string): unknown {
  const { value, fault } = readJson(text, what)
  if (fault) throw fault
  return value
}

/** Shorter integers are safe. Most texts have no number as long, so that they need no closer look. */
const LONG_NUMBER = /\d{16}/

const LONG_NUMBERS = /\d{16,}/g

/** @param json a valid JSON text */
function hasUnsafeInteger(json: string): boolean {
  let behind = 0 // the last string that was met
  for (const { 0: digits, index } of json.matchAll(LONG_NUMBERS)) {
    if (Number.isSafeInteger(Number(digits)) || isPartOfNumber(json, index, index + digits.length)) continue
    while (behind <= index) {
      const quote = json.indexOf('"', behind)
      if (quote < 0 || quote > index) return true
      behind = endOfString(json, quote)
    }
  }
  return false
}

/** Whether digits are a fraction or an exponent, or are followed by either. */
function isPartOfNumber(json: string, start: number, end: number): boolean {
  return /[.eE]/.test(json.charAt(end)) || /([.eE]|[eE][+-])$/.test(json.slice(Math.max(0, start - 2), start))
}

/** The place behind a string's closing quote. @param json valid JSON; @param start the string's opening quote */
export function endOfString(json: string, start: number): number {
  for (let end = json.indexOf('"', start + 1); ; end = json.indexOf('"', end + 1)) {
    let backslashes = 0
    while (json[end - 1 - backslashes] === '\\') backslashes++
    if (backslashes % 2 === 0) return end + 1
  }
}

/**
 * The first fault of a JSON value: something that could not be passed on unchanged, or that harms the programs that read
 * it. These are more than `depth` arrays and objects in each other, numbers that are not finite (such as the value of
 * `1e400`), half characters (lone surrogates), and the names by which JavaScript programs reach prototypes.
 */
export function faultOf(value: unknown, depth: number): JsonFault | undefined {
  const found = find(value, depth)
  return found && { path: beginning(found.path.reverse().join('.'), 256), why: found.why(depth) }
}

/** The path is innermost first. */
interface Found {
  readonly path: string[]
  readonly why: (depth: number) => string
}

const found = (why: Found['why']): Found => ({ path: [], why })

function find(value: unknown, depth: number): Found | undefined {
  switch (typeof value) {
    case 'string':
      return value.isWellFormed() ? undefined : found(halfCharacter)
    case 'number':
      return Number.isFinite(value) ? undefined : found(notFinite)
    case 'bigint':
      return found(bigint)
    case 'object':
      if (value === null) return undefined
      if (depth === 0) return found(tooDeep)
      return Array.isArray(value) ? findIn(value, depth - 1) : findInObject(value, depth - 1)
    default:
      return undefined
  }
}

function findIn(list: readonly unknown[], depth: number): Found | undefined {
  for (let i = 0; i < list.length; i++) {
    const inner = find(list[i], depth)
    if (inner) return within(inner, String(i))
  }
  return undefined
}

function findInObject(object: object, depth: number): Found | undefined {
  for (const name in object) {
    const part = (object as Record<string, unknown>)[name]
    if (name === '__proto__' || (name === 'constructor' && hasPrototype(part))) return found(prototype)
    if (!name.isWellFormed()) return found(halfCharacter)
    const inner = find(part, depth)
    if (inner) return within(inner, name)
  }
  return undefined
}

function within(inner: Found, name: string): Found {
  inner.path.push(beginning(name, 256))
  return inner
}

const hasPrototype = (value: unknown) =>
  value !== null && typeof value === 'object' && Object.hasOwn(value, 'prototype')

const tooDeep = (depth: number) => `nested more than ${depth} deep`
const notFinite = () => 'a number beyond ±1.8e308; send it as a string'
const bigint = () => 'a bigint is not JSON; send it as a string'
const halfCharacter = () => 'half a character (a lone surrogate); cut texts between characters'
const prototype = () => 'the names __proto__, and constructor with a prototype in it, are not allowed'
