/** A server on LMDB that is killed and started again, by the command line. */
import t from 'tap'
import { finished, serve, twinrail } from './stage.ts'

t.test('delivered events survive a kill, and the interrupted run has its terminal event', async t => {
  const folder = t.testdir()
  const log = ['--log', `lmdb:${folder}/log`]
  const first = await serve(t, log)
  const command = {
    type: 'run.start',
    id: '1',
    agent: 'playback',
    input: { count: 100_000, rate: 200 },
    runId: 'r1',
  }
  await fetch(`${first.url}/v1/sessions/s/commands`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(command),
  })
  const response = await fetch(`${first.url}/v1/sessions/s/events?replay=full`)
  const seen: string[] = []
  let text = ''
  try {
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += Buffer.from(chunk)
      if (text.split('\n\n').length > 50) first.child.kill('SIGKILL')
    }
  } catch {
    // The kill cuts the stream.
  }
  for (const block of text.split('\n\n').slice(0, -1)) {
    const json = /^data: (.*)\nid: .*$/.exec(block)?.[1]
    if (json) seen.push(json)
  }
  t.ok(seen.length > 20, `${seen.length} events were seen`)

  const second = await serve(t, log)
  const refused = await finished(twinrail(['serve', '--port', '0', ...log]))
  t.equal(refused.code, 2, 'a second server on the folder is refused')
  t.match(refused.stderr, /--log/)
  const tail = await finished(
    twinrail(['tail', 's', '--run', 'r1', '--json', '--replay', 'full', '--url', second.url]),
  )
  const lines = tail.stdout.trim().split('\n')
  t.strictSame(lines.slice(0, seen.length), seen, 'byte for byte under the same offsets')
  t.match(JSON.parse(lines.at(-1) as string), {
    type: 'run.failed',
    data: { code: 'producer-lost', retryable: true },
  })
})
