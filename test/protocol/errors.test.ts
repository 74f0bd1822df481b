import t from 'tap'
import {
  type ErrorCode,
  errorMeanings,
  errorTable,
  refusalOf,
  TwinrailError,
} from '../../src/protocol/index.ts'

const codes = Object.keys(errorTable) as ErrorCode[]

t.test('every code has a status, a close code and something to say', async t => {
  for (const code of codes) {
    const { status, close, retryable } = errorTable[code]
    t.match(code, /^[a-z]+(-[a-z]+)*$/, 'kebab-case')
    t.ok(status >= 400 && status <= 599, `${code}: ${status}`)
    const named = [1009, 1012, 1013].includes(close)
    t.ok(named || (close >= 4400 && close <= 4500), `${code}: ${close}`)
    // 44xx mirror HTTP, but for the one that HTTP has no status for.
    if (!named && code !== 'too-slow' && code !== 'unsupported-media-type') {
      t.equal(close, status === 500 ? 4500 : 4000 + status, `${code}: ${close} mirrors ${status}`)
    }
    if ([408, 429].includes(status) || status >= 500) t.equal(retryable, true, `${code} may be retried`)
    else t.equal(retryable, false, `${code} may not`)
    t.match(errorMeanings[code], /^[A-Z].*\.$/s, 'a sentence')
  }
})

t.test('an error has the status, close code and retryability of its row', async t => {
  for (const code of codes) {
    const error = new TwinrailError(code, 'why')
    const { status, close, retryable } = errorTable[code]
    t.match(error, { name: 'TwinrailError', code, message: 'why', status, close, retryable })
    t.same(refusalOf(error), { code, message: 'why', retryable })
  }
})

t.test('details and the time to wait are sent when there are any', async t => {
  const cause = new Error('inner')
  const error = new TwinrailError('conflict', 'why', { details: { a: 1 }, retryAfterMs: 0, cause })
  t.equal(error.cause, cause)
  t.same(refusalOf(error), {
    code: 'conflict',
    message: 'why',
    retryable: false,
    details: { a: 1 },
    retryAfterMs: 0,
  })
})

t.test('causes and unexpected errors are not sent to users', async t => {
  for (const error of [
    new Error('password: hunter2'),
    'hunter2',
    null,
    { code: 'forbidden', message: 'hunter2' },
  ]) {
    const refusal = refusalOf(error)
    t.match(refusal, { code: 'internal', retryable: true })
    t.notMatch(JSON.stringify(refusal), 'hunter2')
  }
})
