/** Whoever may not do something is told so, and nothing of what else is wrong with the request. */

import { createHash } from 'node:crypto'
import t from 'tap'
import { apiKeyAuthorize } from '../../src/auth/api-keys.ts'
import { post, serve } from '../fixtures/wire-server.ts'

const key = 'a key that may only ingest'
const keys = apiKeyAuthorize([
  { name: 'sensor', sha256: createHash('sha256').update(key).digest('hex'), allow: ['produce'] },
  { name: 'all', sha256: createHash('sha256').update('all').digest('hex') },
])

type Headers = Record<string, string>
const stranger: Headers = {}
const sensor: Headers = { authorization: `Bearer ${key}` }
const user: Headers = { authorization: 'Bearer all' }
const ndjson = { 'content-type': 'application/x-ndjson' }

/** Requests that are wrong in one way each: method, path, body, headers. */
const wrong: [how: string, method: string, path: string, body?: string | undefined, headers?: Headers][] = [
  ['body is no JSON', 'POST', '/v1/sessions', '{'],
  ['field of a wrong type', 'POST', '/v1/sessions', '{"sessionId":7}'],
  ['media type', 'POST', '/v1/sessions', 'x', { 'content-type': 'text/xml' }],
  ['body is too large', 'POST', '/v1/sessions', JSON.stringify({ metadata: { a: 'x'.repeat(2 ** 20) } })],
  ['limit of a list', 'GET', '/v1/sessions?limit=0'],
  ['id in the path', 'GET', '/v1/sessions/~'],
  ['id in the path of a delete', 'DELETE', '/v1/sessions/~'],
  ['query of a stream', 'GET', '/v1/sessions/s/events?after=x'],
  ['Accept of a stream', 'GET', '/v1/sessions/s/events', undefined, { accept: 'image/png' }],
  ['ttl of a ticket', 'POST', '/v1/tickets', '{"ttlMs":0}'],
  ['empty revocation', 'POST', '/v1/revocations', '{}'],
  ['command is no JSON', 'POST', '/v1/sessions/s/commands', '['],
  ['unknown command', 'POST', '/v1/sessions/s/commands', '{"id":"1","type":"x"}'],
  ['command of a WebSocket', 'POST', '/v1/sessions/s/commands', '{"id":"1","type":"ping"}'],
  ['unknown agent, ai-sdk', 'POST', '/ai-sdk/none', '{"id":"c","messages":[]}'],
  ['body of ai-sdk', 'POST', '/ai-sdk/script', '{}'],
  ['unknown agent, ai-sdk stream', 'GET', '/ai-sdk/none/c/stream'],
  ['body of ag-ui', 'POST', '/ag-ui/script', '{}'],
  ['unknown agent, ag-ui', 'POST', '/ag-ui/none', '{}'],
  ['query of ag-ui', 'GET', '/ag-ui/script'],
  ['unknown run of ag-ui', 'GET', '/ag-ui/script?runId=s~r~1'],
  ['body of a response', 'POST', '/openai/v1/responses', '{}'],
  ['unknown model', 'POST', '/openai/v1/responses', '{"model":"none","input":"x"}'],
  ['unknown response', 'GET', '/openai/v1/responses/resp_s~r~1'],
  ['unknown response to cancel', 'POST', '/openai/v1/responses/resp_s~r~1/cancel', '{}'],
  ['body of a completion', 'POST', '/openai/v1/chat/completions', '{}'],
  ['body of Genie', 'POST', '/AutoAgent', '{}'],
  ['body of Genie’s page', 'POST', '/web/api/v1/gpt/queryAgentStreamIncr', '{}'],
  ['body of Genie’s tool', 'POST', '/v1/tool/deepsearch', '{'],
]

const ingest: typeof wrong = [
  ['unknown type', 'POST', '/v1/sessions/s/events', '{"type":"nothing","data":1}'],
  ['bad line', 'POST', '/v1/sessions/s/events', '{\n', ndjson],
  ['producer without seq', 'POST', '/v1/sessions/s/events?producer=p', '[]'],
]

t.test('a refusal comes before all other faults', async t => {
  const { url } = await serve(t, { authorize: keys })
  t.equal((await post(`${url}/v1/sessions`, { sessionId: 's' }, user)).status, 201)
  const send = async ([, method, path, body, headers]: (typeof wrong)[number], who: Headers) => {
    const type: Headers = body === undefined ? {} : { 'content-type': 'application/json' }
    const init = { method, headers: { ...type, ...headers, ...who }, ...(body !== undefined && { body }) }
    const response = await fetch(`${url}${path}`, init)
    await response.arrayBuffer()
    return response.status
  }
  for (const request of [...wrong, ...ingest]) {
    const [how] = request
    t.equal(await send(request, stranger), 401, `${how}: a stranger`)
    t.equal(await send(request, { authorization: 'Bearer wrong' }), 401, `${how}: wrong credentials`)
  }
  // Everybody who is known may ask for tickets, and send commands of some kind.
  const free = /^(ttl|command|unknown command)/
  for (const request of wrong) {
    if (!free.test(request[0])) t.equal(await send(request, sensor), 403, `${request[0]}: without the right`)
  }
  for (const request of [...wrong, ...ingest]) {
    const [how] = request
    const status = await send(request, user)
    if (how === 'empty revocation') t.equal(status, 403, how)
    else t.ok([400, 404, 413, 415].includes(status), `${how}: whoever may is told what is wrong (${status})`)
  }
})
