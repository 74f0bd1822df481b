/** Who a token or an API key is, and what it allows. */
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { FastifyRequest } from 'fastify'
import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from 'jose'
import t, { type Test } from 'tap'
import { type Action, groupOf } from '../../src/auth/actions.ts'
import { anyOf } from '../../src/auth/any-of.ts'
import { apiKeyAuthorize } from '../../src/auth/api-keys.ts'
import type { Authorize } from '../../src/auth/authorize.ts'
import { matchesPattern } from '../../src/auth/grants.ts'
import { jwtAuthorize } from '../../src/auth/jwt.ts'

const SECRET = 'a secret of tests that is long enough'
const hmac = (secret = SECRET) => new TextEncoder().encode(secret)
const now = () => Math.floor(Date.now() / 1000)

/** A token that the server takes, changed by `claims`. */
function token(claims: Record<string, unknown> = {}, secret = SECRET): Promise<string> {
  return new SignJWT({ sub: 'ann', exp: now() + 60, iat: now(), ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .sign(hmac(secret))
}

const carrying = (bearer: string | undefined) =>
  ({ headers: bearer === undefined ? {} : { authorization: `Bearer ${bearer}` } }) as FastifyRequest

interface On {
  sessionId?: string
  createdBy?: string
}

/** The principal's id, `forbidden` for a refusal, or the code of the error. */
async function ask(
  hook: Authorize,
  bearer: string | undefined,
  action: Action,
  on: On = {},
): Promise<string> {
  const { sessionId, createdBy } = on
  const session = createdBy === undefined ? undefined : { createdBy, metadata: {}, createdAt: 0 }
  try {
    const wanted = { action, group: groupOf(action), sessionId, session }
    return (await hook(carrying(bearer), wanted))?.id ?? 'forbidden'
  } catch (error) {
    return (error as { code: string }).code
  }
}

t.test('without the claim a principal has its own sessions, and may create', async t => {
  const hook = jwtAuthorize({ secret: SECRET })
  const bearer = await token()
  const own = { sessionId: 's', createdBy: 'ann' }
  const foreign = { sessionId: 's', createdBy: 'bob' }
  for (const action of [
    'subscribe',
    'session.read',
    'run.start',
    'input.answer',
    'session.delete',
  ] as const) {
    t.equal(await ask(hook, bearer, action, own), 'ann', `${action} of its own`)
    t.equal(await ask(hook, bearer, action, foreign), 'forbidden', `${action} of somebody else’s`)
    t.equal(await ask(hook, bearer, action, { sessionId: 's' }), 'ann', `${action} of a missing one`)
  }
  for (const action of ['connect', 'session.list', 'agents.list', 'ticket.create'] as const) {
    t.equal(await ask(hook, bearer, action), 'ann', action)
  }
  for (const action of ['metrics.read', 'revocation.create'] as const) {
    t.equal(await ask(hook, bearer, action), 'forbidden', action)
  }
  for (const action of ['ingest', 'subscribe:wait'] as const) {
    t.equal(await ask(hook, bearer, action, own), 'forbidden', action)
  }
})

t.test('the claim gives rights on sessions by patterns, and nothing else', async t => {
  const hook = jwtAuthorize({ secret: SECRET })
  const bearer = await token({
    twinrail: [
      { sessions: ['team-42', 'u1.*'], allow: ['read', 'write'] },
      { sessions: ['shared'], allow: ['read', 'a-right-of-the-future'] },
    ],
  })
  const cases: [Action, string | undefined, string][] = [
    ['subscribe', 'team-42', 'ann'],
    ['subscribe', 'team-421', 'forbidden'],
    ['run.start', 'u1.anything', 'ann'],
    ['run.start', 'u1', 'forbidden'],
    ['subscribe', 'shared', 'ann'],
    ['publish', 'shared', 'forbidden'],
    ['session.delete', 'team-42', 'forbidden'],
    ['session.create', 'u1.x', 'forbidden'],
    ['session.list', undefined, 'forbidden'],
    ['connect', undefined, 'ann'],
  ]
  for (const [action, sessionId, wanted] of cases) {
    const on = sessionId === undefined ? {} : { sessionId, createdBy: 'ann' }
    t.equal(await ask(hook, bearer, action, on), wanted, `${action} ${sessionId}`)
  }
  const admin = (sessions: string[]) => token({ twinrail: [{ sessions, allow: ['admin'] }] })
  t.equal(await ask(hook, await admin(['*']), 'metrics.read'), 'ann')
  t.equal(await ask(hook, await admin(['u1.*']), 'metrics.read'), 'forbidden', 'admin concerns all sessions')
  t.equal(await ask(hook, await token({ twinrail: [] }), 'subscribe', { sessionId: 's' }), 'forbidden')
})

t.test('a pattern matches as its stars say, in linear time', async t => {
  const cases: [string, string, boolean][] = [
    ['a', 'a', true],
    ['a', 'ab', false],
    ['*', '', true],
    ['a*', 'a', true],
    ['*a', 'ba', true],
    ['a*a', 'a', false],
    ['a*a', 'aa', true],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'a-c-b', false],
    ['ab*ba', 'aba', false],
    ['a*bb*b', 'abb', false],
    ['**', 'x', true],
    ['a.c', 'abc', false],
    ['[ab]', 'a', false],
  ]
  for (const [pattern, id, wanted] of cases) t.equal(matchesPattern(pattern, id), wanted, `${pattern} ${id}`)
  const pattern = `${'a*'.repeat(128)}b`
  const started = performance.now()
  for (let i = 0; i < 1000; i++) matchesPattern(pattern, 'a'.repeat(128))
  t.comment(`1000 hostile matches took ${performance.now() - started} ms`)
})

t.test('tokens that are not what they should be are refused as unauthorized', async t => {
  const hook = jwtAuthorize({ secret: SECRET, issuer: 'https://issuer', audience: 'twinrail' })
  const good = { iss: 'https://issuer', aud: 'twinrail' }
  t.equal(await ask(hook, await token(good), 'connect'), 'ann')
  const b64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const payload = b64({ sub: 'ann', exp: now() + 60, ...good })
  const signed = await token(good)
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const rs256 = `${b64({ alg: 'RS256' })}.${payload}`
  const cases: Record<string, string | undefined> = {
    'no token': undefined,
    empty: '',
    'another secret': await token(good, 'another secret that is long enough!'),
    expired: await token({ ...good, exp: now() - 1 }),
    'not yet valid': await token({ ...good, nbf: now() + 60 }),
    'another issuer': await token({ ...good, iss: 'https://evil' }),
    'another audience': await token({ ...good, aud: 'other' }),
    'no sub': await token({ ...good, sub: undefined }),
    'a number as sub': await token({ ...good, sub: 1 as unknown as string }),
    'a long sub': await token({ ...good, sub: 'a'.repeat(257) }),
    'a claim of another shape': await token({ ...good, twinrail: { sessions: '*' } }),
    'a claim that is nested': await token({ ...good, twinrail: [[[{ sessions: ['*'] }]]] }),
    'a claim with numbers': await token({ ...good, twinrail: [{ sessions: [1], allow: ['read'] }] }),
    'algorithm none': `${b64({ alg: 'none' })}.${payload}.`,
    'algorithm NONE with a signature': `${b64({ alg: 'NONE' })}.${payload}.${signed.split('.')[2]}`,
    'an algorithm of another key': `${rs256}.${sign('sha256', Buffer.from(rs256), rsa.privateKey).toString('base64url')}`,
    'a critical header': `${b64({ alg: 'HS256', crit: ['b64'], b64: false })}.${payload}.AAAA`,
    oversized: `${signed}${'A'.repeat(9000)}`,
    'a changed payload': signed.replace(/\.(.)/, (_, c) => `.${c === 'A' ? 'B' : 'A'}`),
    'not base64': 'a.b.c',
    'no dots': 'abc',
    dots: '..',
    encrypted: 'a.b.c.d.e',
  }
  for (const [name, bearer] of Object.entries(cases)) {
    t.equal(await ask(hook, bearer, 'connect'), 'unauthorized', name)
  }
  const seed = Date.now()
  t.comment(`seed ${seed}`)
  for (let i = 0, x = seed; i < 300; i++) {
    x = (x * 1103515245 + 12345) % 2147483648
    const at = x % signed.length
    const changed = signed.slice(0, at) + String.fromCharCode(33 + (x % 93)) + signed.slice(at + 1)
    const answer = await ask(hook, changed, 'connect')
    if (changed !== signed && !['unauthorized', 'ann'].includes(answer)) t.fail(`${answer}: ${changed}`)
  }
})

t.test('public keys of each kind verify their own algorithms', async t => {
  for (const alg of ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA']) {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
    const hook = jwtAuthorize({ publicKey: await exportSPKI(publicKey) })
    const make = (sub: string) =>
      new SignJWT({ sub, exp: now() + 60 }).setProtectedHeader({ alg }).sign(privateKey)
    t.equal(await ask(hook, await make('ann'), 'connect'), 'ann', alg)
    t.equal(await ask(hook, await token(), 'connect'), 'unauthorized', `HS256 against ${alg}`)
    const confused = await new SignJWT({ sub: 'ann' })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(new TextEncoder().encode(await exportSPKI(publicKey)))
    t.equal(await ask(hook, confused, 'connect'), 'unauthorized', 'the public key as a secret')
  }
})

t.test('keys of an issuer are read from its URL, and again when they were rotated', async t => {
  const keys: object[] = []
  let reads = 0
  let down = false
  const issuer = createServer((_request, response) => {
    reads++
    if (down) response.writeHead(503).end()
    else response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ keys }))
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => issuer.once('listening', resolve))
  t.teardown(() => issuer.close())
  const jwksUrl = `http://127.0.0.1:${(issuer.address() as AddressInfo).port}/jwks`
  const rotate = async (kid: string) => {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
    keys.push({ ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' })
    return (sub: string) => new SignJWT({ sub }).setProtectedHeader({ alg: 'ES256', kid }).sign(privateKey)
  }
  const first = await rotate('one')
  const hook = jwtAuthorize({ jwksUrl })
  down = true
  t.equal(await ask(hook, await first('ann'), 'connect'), 'unavailable', 'the issuer is away')
  down = false
  t.equal(await ask(hook, await first('ann'), 'connect'), 'ann')
  const before = reads
  t.equal(await ask(hook, await first('bob'), 'connect'), 'bob')
  t.equal(reads, before, 'the keys are cached')
  const second = await rotate('two')
  t.equal(await ask(jwtAuthorize({ jwksUrl }), await second('ann'), 'connect'), 'ann')
  t.equal(await ask(hook, await token(), 'connect'), 'unauthorized', 'HS256 never')
})

t.test('keys that cannot be used are refused when the hook is made', async t => {
  t.throws(() => jwtAuthorize({}), /exactly one/)
  t.throws(() => jwtAuthorize({ secret: SECRET, jwksUrl: 'https://a' }), /exactly one/)
  t.throws(() => jwtAuthorize({ secret: 'short' }), /32 bytes/)
  t.throws(() => jwtAuthorize({ publicKey: 'no PEM' }))
  t.throws(() => jwtAuthorize({ jwksUrl: 'file:///etc/passwd' }), /http/)
  const { publicKey } = generateKeyPairSync('x25519')
  t.throws(
    () => jwtAuthorize({ publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString() }),
    /x25519/,
  )
})

const hashOf = (key: string) => createHash('sha256').update(key).digest('hex')

t.test('an API key is its name, with the rights that it was given', async t => {
  const hook = apiKeyAuthorize([
    { name: 'server', sha256: hashOf('key-1') },
    { name: 'sensor', sha256: hashOf('key-2').toUpperCase(), allow: ['produce'], sessions: ['plant.*'] },
    { name: 'scraper', sha256: hashOf('key-3'), allow: ['admin'] },
  ])
  const on = { sessionId: 'plant.1', createdBy: 'somebody' }
  t.equal(await ask(hook, 'key-1', 'ingest', on), 'server')
  t.equal(await ask(hook, 'key-1', 'session.delete', on), 'server')
  t.equal(await ask(hook, 'key-1', 'metrics.read'), 'forbidden')
  t.equal(await ask(hook, 'key-2', 'ingest', on), 'sensor')
  t.equal(await ask(hook, 'key-2', 'ingest', { sessionId: 'other' }), 'forbidden')
  t.equal(await ask(hook, 'key-2', 'subscribe', on), 'forbidden')
  t.equal(await ask(hook, 'key-3', 'metrics.read'), 'scraper')
  for (const wrong of ['key-4', hashOf('key-1'), 'key-1 ', undefined, 'k'.repeat(9000)]) {
    if (wrong === 'key-1 ')
      t.equal(await ask(hook, wrong, 'connect'), 'server', 'blanks around it are not part of it')
    else t.equal(await ask(hook, wrong, 'connect'), 'unauthorized', wrong?.slice(0, 20) ?? 'none')
  }
  t.throws(() => apiKeyAuthorize([{ name: 'a', sha256: 'key-1' }]), /hexadecimal/)
  const same = { sha256: hashOf('x') }
  t.throws(
    () =>
      apiKeyAuthorize([
        { name: 'a', ...same },
        { name: 'b', ...same },
      ]),
    /same hash/,
  )
})

t.test('of several hooks the first that allows gives the principal', async t => {
  const hook = anyOf(
    jwtAuthorize({ secret: SECRET }),
    apiKeyAuthorize([{ name: 'server', sha256: hashOf('key-1'), allow: ['read'] }]),
  )
  t.equal(await ask(hook, await token(), 'connect'), 'ann')
  t.equal(await ask(hook, 'key-1', 'subscribe', { sessionId: 's' }), 'server')
  t.equal(await ask(hook, 'key-1', 'ingest', { sessionId: 's' }), 'forbidden', 'known, but not allowed')
  t.equal(await ask(hook, await token(), 'metrics.read'), 'forbidden')
  t.equal(await ask(hook, randomBytes(32).toString('hex'), 'connect'), 'unauthorized')
  t.equal(await ask(hook, undefined, 'connect'), 'unauthorized')
  const failing = anyOf(
    () => {
      throw new Error('broken')
    },
    jwtAuthorize({ secret: SECRET }),
  )
  await t.rejects(
    Promise.resolve(failing(carrying('x'), { action: 'connect', group: 'any' })),
    /broken/,
    'a failure is not a refusal',
  )
})

/** How long a refusal of each of two keys takes, in µs, measured in turns. */
async function timesOf(t: Test, hook: Authorize, keys: readonly string[]): Promise<number[]> {
  const times = keys.map((): number[] => [])
  for (let i = 0; i < 4000; i++) {
    for (const [n, key] of keys.entries()) {
      const started = performance.now()
      await ask(hook, key, 'connect')
      times[n]?.push((performance.now() - started) * 1000)
    }
  }
  const medians = times.map(list => list.sort((a, b) => a - b)[list.length >> 1] as number)
  t.comment(`medians ${medians.map(us => us.toFixed(2)).join(', ')} µs`)
  return medians
}

t.test('the time of a refusal does not depend on the key', async t => {
  const keys = Array.from({ length: 50 }, (_, i) => ({ name: `k${i}`, sha256: hashOf(`key-${i}`) }))
  const hook = apiKeyAuthorize(keys)
  const [first = 0, last = 0] = await timesOf(t, hook, ['key-0', 'key-49'])
  // A comparison that stops at the first match would differ by the 49 others, several times as much.
  t.ok(Math.abs(first - last) / Math.min(first, last) < 0.5, 'the first key takes as long as the last')
})
