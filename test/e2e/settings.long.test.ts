/** What `twinrail` refuses before it starts: a process for each case. */
import { createHash } from 'node:crypto'
import { SignJWT } from 'jose'
import t from 'tap'
import { each } from '../fixtures/wire-server.ts'
import { finished, serve, twinrail } from './stage.ts'

t.test('bad settings are refused with what to do', async t => {
  const cases: [string[], Record<string, string>, RegExp][] = [
    [['serve', '--prot', '1'], {}, /unknown option '--prot'[\s\S]*--port/],
    [['serve', '--port', '99999'], {}, /--port \(or TWINRAIL_PORT\)/],
    [['serve'], { TWINRAIL_PORT: 'abc' }, /--port \(or TWINRAIL_PORT\)/],
    [['serve', '--host', '0.0.0.0', '--port', '0'], {}, /--insecure|insecure/],
    [['serve', '--corpus', '/nowhere/at/all', '--port', '0'], {}, /--corpus/],
    [
      ['serve', '--corpus-max-files', '0', '--port', '0'],
      {},
      /--corpus-max-files \(or TWINRAIL_CORPUS_MAX_FILES\)/,
    ],
    [['serve', '--corpus-cache', '', '--port', '0'], {}, /--corpus-cache .*expected a folder, or none/],
    [['serve', '--origin', 'example.com', '--port', '0'], {}, /--origin/],
    [['serve', '--auth', 'jwt', '--port', '0'], {}, /--auth jwt: give one of --jwt-secret/],
    [
      ['serve', '--auth', 'jwt'],
      { TWINRAIL_JWT_SECRET: 'short' },
      /--jwt-secret \(or TWINRAIL_JWT_SECRET\).*32 bytes/,
    ],
    [['serve', '--jwks-url', 'https://a.example/jwks'], {}, /--jwks-url: it needs --auth jwt/],
    [['serve', '--auth', 'jwt', '--jwt-public-key', '/nowhere'], {}, /--jwt-public-key: ENOENT/],
    [['serve', '--api-key', 'my-secret-key'], {}, /--api-key.*name=sha256/],
    [['serve', '--api-key', `a=sha256:${'0'.repeat(64)}:all`], {}, /--api-key.*expected rights of read, /],
    [['serve', '--disable', 'healthz'], {}, /--disable/],
    [['run', 'deepsearch'], {}, /missing required argument/],
    [['run', 'deepsearch', 'x', '--url', 'nonsense'], {}, /expected a URL/],
    [['rnu'], {}, /unknown command 'rnu'[\s\S]*run/],
    [['guide', '--upstream', 'fast'], {}, /--upstream: /],
    [['doctor'], {}, /missing required argument 'url'/],
    [['doctor', 'chat.example.com'], {}, /expected a URL such as/],
    [['doctor', 'http://127.0.0.1:1', '--for', '0'], {}, /expected seconds, from 1 to 3600/],
    [['doctor', 'http://127.0.0.1:1', '--header', 'token'], {}, /expected "name: value"/],
  ]
  const refuses = async (i: number) => {
    const [args, env, message] = cases[i] as (typeof cases)[number]
    const { code, stdout, stderr } = await finished(twinrail(args, env))
    t.equal(code, 2, args.join(' '))
    t.equal(stdout, '')
    t.match(stderr, message)
    t.notMatch(stderr, /\n {4}at /, 'no stack')
  }
  await each(cases.length, refuses, 2)
})

t.test('serve passes the limits of a corpus to deepsearch, and none as its cache', async t => {
  const corpus = t.testdir({
    'a.md': 'x'.repeat(200),
    'b.md': 'A lease.',
    'c.md': 'A run.',
    'd.md': 'An event.',
  })
  const { url } = await serve(t, [
    ...['--corpus', corpus, '--corpus-cache', 'none'],
    ...['--corpus-max-file-bytes', '100', '--corpus-max-files', '3', '--corpus-max-bytes', '1'],
  ])
  const { stdout } = await finished(twinrail(['run', 'deepsearch', 'What is a volcano?', '--url', url]))
  t.match(
    stdout,
    /has 1 document\. It lacks 1 file that is too large, 2 files beyond the limits of the corpus/,
  )
})

t.test('a port in use is reported', async t => {
  const { url } = await serve(t)
  const { code, stderr } = await finished(twinrail(['serve', '--port', new URL(url).port]))
  t.equal(code, 2)
  t.match(stderr, /is in use/)
})

t.test('a server with tokens and keys listens beyond loopback', async t => {
  const key = createHash('sha256').update('key-1').digest('hex')
  const secret = 'a secret of tests that is long enough'
  const env = { TWINRAIL_JWT_SECRET: secret, TWINRAIL_API_KEY: `server=sha256:${key}` }
  const { url } = await serve(t, ['--host', '0.0.0.0', '--auth', 'jwt'], env)
  const address = url.replace('0.0.0.0', '127.0.0.1')
  const statusWith = async (bearer?: string) => {
    const headers: Record<string, string> = bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }
    return (await fetch(`${address}/v1/agents`, { headers })).status
  }
  const token = await new SignJWT({ sub: 'ann' })
    .setProtectedHeader({ alg: 'HS256' })
    .sign(new TextEncoder().encode(secret))
  t.equal(await statusWith(), 401)
  t.equal(await statusWith('key-2'), 401)
  t.equal(await statusWith('key-1'), 200)
  t.equal(await statusWith(token), 200)
})

t.test('the inspector is on, but not where it is disabled or everybody would be an operator', async t => {
  for (const [args, status] of [
    [[], 200],
    [['--disable', 'inspector'], 404],
    [['--insecure'], 404],
  ] as const) {
    const { url } = await serve(t, ['--log', 'memory', ...args])
    t.equal((await fetch(`${url}/v1/inspect`)).status, status, args.join(' '))
  }
})
