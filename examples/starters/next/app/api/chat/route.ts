import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { streamText } from 'ai'
import { pipeUIMessageStream } from 'twinrail/ai-sdk'

const { OPENAI_BASE_URL, OPENAI_API_KEY, OPENAI_MODEL = 'gpt-5-mini', TWINRAIL_URL } = process.env
const provider = createOpenAICompatible({
  name: 'openai',
  baseURL: OPENAI_BASE_URL ?? 'https://api.openai.com/v1',
  ...(OPENAI_API_KEY && { apiKey: OPENAI_API_KEY }),
})

/** Answers a prompt in a session. Responds once the whole answer is in the session's log. */
export async function POST(request: Request): Promise<Response> {
  const { sessionId, prompt } = await request.json()
  const result = streamText({ model: provider(OPENAI_MODEL), prompt })
  const session = { url: TWINRAIL_URL ?? 'http://127.0.0.1:8787', sessionId }
  return Response.json(await pipeUIMessageStream(session, result, { agent: 'chat', input: { prompt } }))
}
