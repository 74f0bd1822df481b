/** The command `twinrail` as a newcomer types it: a process of its own, asked over every transport. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { EventSource } from 'eventsource'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { finished, serve, twinrail } from './stage.ts'

const QUESTION = 'When should I use SSE and when WebSocket?'

function isAnswer(t: Test, text: string, transport: string): void {
  t.match(text, /When should I use SSE\?/, `${transport}: the first part of the question`)
  t.match(text, /When should I use WebSocket\?/, `${transport}: the second`)
  t.match(text, /\[1\]/, `${transport}: a citation`)
}

const start = { type: 'run.start', id: '1', agent: 'deepsearch', input: { query: QUESTION } }

t.test('a question is answered with citations over every transport and by bare clients', async t => {
  const { url, child } = await serve(t)
  const events = (session: string) => `${url}/v1/sessions/${session}/events`

  for (const transport of ['sse', 'websocket', 'long-poll']) {
    const run = await finished(
      twinrail(['run', 'deepsearch', QUESTION, '--url', url, '--transport', transport]),
    )
    t.equal(run.code, 0, transport)
    isAnswer(t, run.stdout, transport)
    t.match(run.stdout, /choosing-a-transport/, `${transport}: a real file as source`)
    t.notOk(run.stdout.includes('\u001b'), `${transport}: no escape codes in a pipe`)
  }

  const topic = await finished(twinrail(['run', 'deepsearch', 'What is a topic?', '--url', url]))
  t.match(topic.stdout, /delivery/, 'documents for users are searched')
  t.notMatch(topic.stdout, /architecture/, 'the page about the source code is not')

  // `curl -N` with the run's stream as the answer.
  const curl = spawn('curl', [
    ...['-sN', '-H', 'content-type: application/json', '-H', 'accept: text/event-stream'],
    ...['-d', JSON.stringify({ ...start, runId: 'r1' }), `${url}/v1/sessions/curl/commands`],
  ])
  const streamed = await finished(curl).catch(() => undefined)
  if (streamed) {
    t.equal(streamed.code, 0)
    t.match(streamed.stdout, /^retry: \d+\nevent: hello\n/)
    t.match(streamed.stdout, /"type":"source.added"/)
    t.match(streamed.stdout, /event: end\ndata: .*"run-ended"/)
  }

  // A bare EventSource: events in onmessage, nothing else needed.
  const source = new EventSource(events('curl'))
  let heard = ''
  await new Promise<void>(resolve => {
    source.onmessage = ({ data }) => {
      const event = JSON.parse(data) as { type: string; data: { delta: string } }
      if (event.type === 'text.delta') heard += event.data.delta
      if (event.type === 'run.completed') resolve()
    }
  })
  source.close()
  isAnswer(t, heard, 'EventSource')

  // A bare WebSocket, from PROTOCOL.md alone.
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/ws`, 'twinrail.v1')
  let said = ''
  await once(socket, 'open')
  socket.send(JSON.stringify({ ...start, sessionId: 'ws', runId: 'r1' }))
  await new Promise<void>(resolve => {
    socket.on('message', message => {
      for (const line of String(message).split('\n')) {
        const object = JSON.parse(line) as { type: string; id?: string; data: { delta: string } }
        if (object.type === 'ack' && object.id === '1') {
          socket.send(JSON.stringify({ type: 'subscribe', id: '2', sessionId: 'ws', run: 'r1' }))
        }
        if (object.type === 'text.delta') said += object.data.delta
        if (object.type === 'end') resolve()
      }
    })
  })
  socket.close()
  isAnswer(t, said, 'ws')

  // What was answered on one transport is the same on another.
  const tail = await finished(twinrail(['tail', 'ws', '--run', 'r1', '--json', '--url', url]))
  t.equal(tail.code, 0)
  const lines = tail.stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { type: string })
  t.equal(lines[0]?.type, 'run.started')
  t.equal(lines.at(-1)?.type, 'run.completed')

  child.kill('SIGTERM')
  const [code] = (await once(child, 'exit')) as [number]
  t.equal(code, 0, 'stops gracefully')
})

t.test('SIGINT sends closing to subscribers and lets a run end', async t => {
  const { url, child } = await serve(t, ['--grace-ms', '20000', '--spread-ms', '3000'])
  const command = { ...start, agent: 'playback', input: { count: 40, rate: 40 }, runId: 'r1' }
  await fetch(`${url}/v1/sessions/s/commands`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(command),
  })
  const response = await fetch(`${url}/v1/sessions/s/events`)
  let text = ''
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    if (text === '') child.kill('SIGINT')
    text += Buffer.from(chunk)
  }
  t.match(text, /"run.completed"/, 'the run ended within its grace')
  t.match(text, /event: closing\ndata: .*"code":"restart".*"retryAfterMs":\d+/)
  const [code] = (await once(child, 'exit')) as [number]
  t.equal(code, 0)
  const { port } = new URL(url)
  const [error] = (await once(connect(Number(port), '127.0.0.1'), 'error')) as [NodeJS.ErrnoException]
  t.equal(error.code, 'ECONNREFUSED')
})
