/** The certificate of the tests: nobody trusts it, and nobody has to. */
import { readFileSync } from 'node:fs'

export interface Certificate {
  readonly key: string
  readonly cert: string
}

export function readCertificate(): Certificate {
  const read = (file: string) =>
    readFileSync(new URL(`../../test/fixtures/tls/${file}.pem`, import.meta.url), 'utf8')
  return { key: read('key'), cert: read('cert') }
}
