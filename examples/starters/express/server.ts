import express from 'express'
import { createHandler, defineAgent } from 'twinrail'
import { z } from 'zod'

const echo = defineAgent({
  name: 'echo',
  description: 'Says it again, word by word.',
  input: z.object({ query: z.string() }),
  async *run({ query }) {
    for (const word of query.split(' ')) {
      yield { type: 'text.delta', data: { partId: 'answer', delta: `${word} ` } }
    }
  },
})

const rt = await createHandler({ prefix: '/rt', agents: [echo] })

const app = express()
// Before what reads bodies: Twinrail reads those of its own requests itself.
app.use(rt.handler)
app.use(express.json())
app.get('/', (_request, response) => {
  response.send('<a href="/rt/">The sessions of this app</a>')
})

const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log('http://127.0.0.1:%d/', (server.address() as { port: number }).port)
})
server.on('upgrade', (request, socket, head) => {
  if (!rt.upgrade(request, socket, head)) socket.destroy()
})

process.once('SIGTERM', async () => {
  await rt.close()
  server.close()
})
