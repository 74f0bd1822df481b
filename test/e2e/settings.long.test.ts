/** What `twinrail` refuses before it starts: a process for each case. */
import t from 'tap'
import { finished, serve, twinrail } from './stage.ts'

t.test('bad settings are refused with what to do', async t => {
  const cases: [string[], Record<string, string>, RegExp][] = [
    [['serve', '--prot', '1'], {}, /unknown option '--prot'[\s\S]*--port/],
    [['serve', '--port', '99999'], {}, /--port \(or TWINRAIL_PORT\)/],
    [['serve'], { TWINRAIL_PORT: 'abc' }, /--port \(or TWINRAIL_PORT\)/],
    [['serve', '--host', '0.0.0.0', '--port', '0'], {}, /--insecure|insecure/],
    [['serve', '--corpus', '/nowhere/at/all', '--port', '0'], {}, /--corpus/],
    [['serve', '--origin', 'example.com', '--port', '0'], {}, /--origin/],
    [['run', 'deepsearch'], {}, /missing required argument/],
    [['run', 'deepsearch', 'x', '--url', 'nonsense'], {}, /expected a URL/],
    [['rnu'], {}, /unknown command 'rnu'[\s\S]*run/],
  ]
  await Promise.all(
    cases.map(async ([args, env, message]) => {
      const { code, stderr } = await finished(twinrail(args, env))
      t.equal(code, 2, args.join(' '))
      t.match(stderr, message)
      t.notMatch(stderr, /\n {4}at /, 'no stack')
    }),
  )
})

t.test('a port in use is told', async t => {
  const { url } = await serve(t)
  const { code, stderr } = await finished(twinrail(['serve', '--port', new URL(url).port]))
  t.equal(code, 2)
  t.match(stderr, /is in use/)
})
