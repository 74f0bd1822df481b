/** Regular expressions from outside: they match in linear time, so that no pattern can keep a thread busy for long. */
import { RE2JS } from 're2js'

/**
 * What the schema validator needs of `RegExp`, by the RE2 engine. RE2 has neither backreferences nor look-around:
 * a pattern with one is refused when it is compiled.
 */
export class LinearRegExp {
  readonly #pattern: RE2JS

  /** @throws Error when the pattern is malformed, or needs backtracking */
  constructor(pattern: string) {
    this.#pattern = RE2JS.compile(RE2JS.translateRegExp(pattern))
  }

  /** Whether the pattern matches anywhere in the text. */
  test(text: string): boolean {
    return this.#pattern.matcher(text).find()
  }
}
