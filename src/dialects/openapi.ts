/** The routes of the dialects for the OpenAPI document. What a schema leaves open is the foreign protocol's: docs/clients/. */
import type { z } from 'zod'
import { jsonSchemaOf } from '../protocol/index.ts'
import type { DialectName } from './names.ts'

interface Operation {
  operationId: string
  summary: string
  path: string
  method: 'get' | 'post'
  /** The media types of the answer. */
  answer: 'text/event-stream' | 'application/json' | 'text/plain' | 'application/json, text/event-stream'
}

/** What an operation checks, and its answer as JSON. */
interface Schemas {
  readonly body?: z.ZodType
  readonly query?: z.ZodType
  readonly answer?: z.ZodType
}

/** Loaded with the routes of the dialect. */
const schemas: Record<DialectName, () => Promise<Readonly<Record<string, Schemas>>>> = {
  'ai-sdk': async () => (await import('./ai-sdk/routes.ts')).schemas,
  'ag-ui': async () => (await import('./ag-ui/routes.ts')).schemas,
  openai: async () => (await import('./openai/routes.ts')).schemas,
  genie: async () => (await import('./genie/routes.ts')).schemas,
}

export const dialectOperations: Record<DialectName, readonly Operation[]> = {
  'ai-sdk': [
    {
      operationId: 'aiSdkChat',
      path: '/ai-sdk/{agent}',
      method: 'post',
      summary: 'AI SDK: send messages of a chat',
      answer: 'text/event-stream',
    },
    {
      operationId: 'aiSdkResume',
      path: '/ai-sdk/{agent}/{id}/stream',
      method: 'get',
      summary: 'AI SDK: resume the stream of a chat; 204 when there is none',
      answer: 'text/event-stream',
    },
    {
      operationId: 'aiSdkStop',
      path: '/ai-sdk/{agent}/{id}/stop',
      method: 'post',
      summary: 'AI SDK: cancel the runs of a chat',
      answer: 'application/json',
    },
    {
      operationId: 'aiSdkConnect',
      path: '/ai-sdk/{agent}/ws',
      method: 'get',
      summary: 'AI SDK: WebSocketChatTransport',
      answer: 'application/json',
    },
  ],
  'ag-ui': [
    {
      operationId: 'agUiRun',
      path: '/ag-ui/{agent}',
      method: 'post',
      summary: 'AG-UI: start, resume or attach to a run',
      answer: 'text/event-stream',
    },
    {
      operationId: 'agUiJoin',
      path: '/ag-ui/{agent}',
      method: 'get',
      summary: 'TanStack AI: join a run, or read a thread',
      answer: 'text/event-stream',
    },
  ],
  openai: [
    {
      operationId: 'openaiModels',
      path: '/openai/v1/models',
      method: 'get',
      summary: 'OpenAI: the agents as models',
      answer: 'application/json',
    },
    {
      operationId: 'openaiModel',
      path: '/openai/v1/models/{id}',
      method: 'get',
      summary: 'OpenAI: one agent as a model',
      answer: 'application/json',
    },
    {
      operationId: 'openaiCreateResponse',
      path: '/openai/v1/responses',
      method: 'post',
      summary: 'OpenAI: create a response',
      answer: 'application/json, text/event-stream',
    },
    {
      operationId: 'openaiResponse',
      path: '/openai/v1/responses/{id}',
      method: 'get',
      summary: 'OpenAI: read or resume a response',
      answer: 'application/json, text/event-stream',
    },
    {
      operationId: 'openaiCancelResponse',
      path: '/openai/v1/responses/{id}/cancel',
      method: 'post',
      summary: 'OpenAI: cancel a response',
      answer: 'application/json',
    },
    {
      operationId: 'openaiCreateCompletion',
      path: '/openai/v1/chat/completions',
      method: 'post',
      summary: 'OpenAI: create a chat completion',
      answer: 'application/json, text/event-stream',
    },
  ],
  genie: [
    {
      operationId: 'genieHealth',
      path: '/web/health',
      method: 'get',
      summary: 'JD Genie: is the server there?',
      answer: 'text/plain',
    },
    {
      operationId: 'genieQuery',
      path: '/web/api/v1/gpt/queryAgentStreamIncr',
      method: 'post',
      summary: 'JD Genie: a query of its page',
      answer: 'text/event-stream',
    },
    {
      operationId: 'genieAutoAgent',
      path: '/AutoAgent',
      method: 'post',
      summary: 'JD Genie: a query of its gateway',
      answer: 'text/event-stream',
    },
    {
      operationId: 'genieDeepsearch',
      path: '/v1/tool/deepsearch',
      method: 'post',
      summary: 'JD Genie: the search tool',
      answer: 'text/event-stream',
    },
  ],
}

/** The paths of these dialects as OpenAPI has them. */
export async function dialectPaths(
  names: readonly DialectName[],
): Promise<Record<string, Record<string, unknown>>> {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const name of names) {
    const known = await schemas[name]()
    for (const operation of dialectOperations[name]) {
      const { operationId, path, method, summary } = operation
      const { body, query } = known[operationId] ?? {}
      const parameters = [...pathParameters(path), ...(query ? queryParameters(query) : [])]
      paths[path] = {
        ...paths[path],
        [method]: {
          operationId,
          summary,
          tags: [name],
          ...(parameters.length > 0 && { parameters }),
          ...(body && { requestBody: { required: true, content: { 'application/json': contentOf(body) } } }),
          responses: {
            200: { description: 'As the foreign protocol has it', content: answerOf(operation, known) },
            '4XX': { description: 'Refused, in the foreign form' },
          },
        },
      }
    }
  }
  return paths
}

function answerOf({ answer, operationId }: Operation, known: Readonly<Record<string, Schemas>>): object {
  const schema = known[operationId]?.answer
  return Object.fromEntries(
    answer
      .split(', ')
      .map(type => [type, type === 'application/json' && schema ? contentOf(schema) : { schema: {} }]),
  )
}

const contentOf = (schema: z.ZodType) => ({ schema: withoutDraft(schema) })

function withoutDraft(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _, ...json } = jsonSchemaOf(schema)
  return json
}

const pathParameters = (path: string): object[] =>
  [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }))

function queryParameters(query: z.ZodType): object[] {
  const { properties = {} } = withoutDraft(query) as { properties?: Record<string, object> }
  return Object.entries(properties).map(([name, schema]) => ({ name, in: 'query', schema }))
}
