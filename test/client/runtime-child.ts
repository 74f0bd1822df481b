/** A run over all three transports, in whichever runtime this is started. Prints what it got as JSON. */
import { createClient } from '../../client/index.ts'

const { argv } = (globalThis as unknown as { process: { argv: string[] } }).process
const url = argv[2]!
const texts: Record<string, string> = {}
for (const transport of ['sse', 'websocket', 'long-poll'] as const) {
  const client = createClient({ url, transport })
  const run = client.session(transport).run('playback', { count: 200, rate: 400 })
  let text = ''
  for await (const delta of run.text) text += delta
  const { type } = await run.done
  texts[transport] = `${type} ${text}`
  client.close()
}
console.log(JSON.stringify(texts))
