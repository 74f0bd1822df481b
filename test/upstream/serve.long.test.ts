/** `twinrail serve --agent`: an endpoint in Python that nobody changed, made durable. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { finished, serve, twinrail } from '../e2e/stage.ts'
import { fetchPage } from '../fixtures/wire-clients.ts'
import { command, eventually, startRun, terminalOf } from '../fixtures/wire-server.ts'

const noPython = spawnSync('python3', ['--version']).status === 0 ? false : 'python3 is not installed'

/** As the tutorial that started this project prints such endpoints: a stream that dies with its connection. */
const ENDPOINT = `
import json, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Agent(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        print("key", self.headers.get("authorization"), flush=True)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        endless = "for ever" in body["messages"][-1]["content"]
        try:
            number = 0
            while endless or number < 20:
                self.wfile.write(f"data: {json.dumps({'delta': f'{number} '})}\\n\\n".encode())
                self.wfile.flush()
                number += 1
                time.sleep(0.01)
            self.wfile.write(b"data: [DONE]\\n\\n")
        except OSError:
            print("stopped", flush=True)

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Agent)
print("port", server.server_address[1], flush=True)
server.serve_forever()
`

async function endpoint(t: Test): Promise<{ url: string; said: () => string }> {
  const child: ChildProcess = spawn('python3', ['-c', ENDPOINT], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  let said = ''
  child.stdout?.on('data', data => {
    said += data
  })
  while (!/^port \d+$/m.test(said)) await once(child.stdout as NodeJS.ReadableStream, 'data')
  return { url: `http://127.0.0.1:${/^port (\d+)$/m.exec(said)?.[1]}/`, said: () => said }
}

t.test('an endpoint in Python: answer, reload, Stop', { skip: noPython }, async t => {
  const { url: upstream, said } = await endpoint(t)
  const headers = join(t.testdir(), 'headers.json')
  writeFileSync(headers, '{"support": {"authorization": "Bearer $SUPPORT_KEY"}}')
  const flags = ['--agent', `support=auto:${upstream}`, '--agent-headers', headers]
  const { url, child } = await serve(t, flags, { SUPPORT_KEY: 'secret-key' })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', data => {
      output += data
    })
  }

  const runId = await startRun(url, 's', 'support', { prompt: 'Count' })
  t.match(await terminalOf(url, 's', runId), { type: 'run.completed' })
  const page = () => fetchPage(url, 's', {})
  const words = (await page()).events.map(({ type, data }) => (type === 'text.delta' ? data?.['delta'] : ''))
  t.equal(
    words.join(''),
    Array.from({ length: 20 }, (_, i) => `${i} `).join(''),
    'a later reader gets all of it',
  )
  t.match(said(), /^key Bearer secret-key$/m)

  const endless = await startRun(url, 's', 'support', { prompt: 'Count for ever' })
  await eventually(t, 'it counts', async () => {
    return (await page()).events.some(({ runId, type }) => runId === endless && type === 'text.delta')
  })
  await command(url, 's', { type: 'run.cancel', id: 'c', runId: endless })
  t.match(await terminalOf(url, 's', endless), { type: 'run.cancelled' })
  await eventually(t, 'Stop stops the endpoint', () => /^stopped$/m.test(said()))
  t.notMatch(output, /secret-key/)
})

t.test('wrong settings are refused with what is expected, and without the secret', async t => {
  const file = join(
    t.testdir({ 'headers.json': '{"support": {"authorization": "Bearer $NOT_SET_HERE"}}' }),
    'headers.json',
  )
  const refused: [args: string[], message: RegExp][] = [
    [['--agent', 'support'], /expected name=dialect:url, such as/],
    [['--agent', 'support=gopher:http://localhost/'], /expected a dialect of auto, ai-sdk/],
    [['--agent', 'a=sse:http://h/', '--agent', 'a=sse:http://h/'], /two agents are named a/],
    [['--agent-headers', file], /there is no --agent support/],
    [
      ['--agent', 'support=sse:http://h/', '--agent-headers', file],
      /the environment variable NOT_SET_HERE is not set/,
    ],
    [
      ['--agent', 'support=sse:http://h/', '--agent-headers', '/no/such/file'],
      /--agent-headers \/no\/such\/file: ENOENT/,
    ],
  ]
  for (const [args, message] of refused) {
    const { code, stderr } = await finished(twinrail(['serve', '--port', '0', ...args]))
    t.equal(code, 2, args.join(' '))
    t.match(stderr, message)
  }
})
