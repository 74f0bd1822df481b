import { createServer, defineAgent } from 'twinrail'
import { z } from 'zod'

const echo = defineAgent({
  name: 'echo',
  description: 'Says it again, word by word.',
  input: z.object({ query: z.string() }),
  async *run({ query }) {
    for (const word of query.split(' ')) {
      yield { type: 'text.delta', data: { partId: 'answer', delta: `${word} ` } }
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  },
})

const server = await createServer({ agents: [echo] })
console.log(await server.listen({ port: Number(process.env.PORT ?? 8787) }))
