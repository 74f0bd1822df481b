/** The HTTP API as OpenAPI 3.1, generated from the schemas that validate requests. */
import { z } from 'zod'
import { GuideQuestion } from '../guide/index.ts'
import {
  ControlSchema,
  controlSchemas,
  EventBodySchema,
  EventSchema,
  errorTable,
  Id,
  jsonSchemaOf,
  Offset,
  SessionCommand,
  SubscriptionOptions,
} from '../protocol/index.ts'
import { CreateSession } from './sessions.ts'

type Json = Record<string, unknown>

const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` })
const json = (schema: Json) => ({ 'application/json': { schema } })
const answer = (description: string, schema?: Json) => ({
  description,
  ...(schema && { content: json(schema) }),
})
const refusal = { description: 'Refused; `code` is the reason', content: json(ref('Error')) }
const refusals = { '4XX': refusal, '5XX': refusal }

/** Query parameters from an object schema. */
function queryOf(schema: z.ZodObject): Json[] {
  const { properties = {} } = jsonSchemaOf(schema) as { properties?: Record<string, Json> }
  return Object.entries(properties).map(([name, property]) => ({ name, in: 'query', schema: property }))
}

const sessionPath = { name: 'sessionId', in: 'path', required: true, schema: ref('Id') }

const Ingested = z.object({ first: Offset.optional(), head: Offset, count: z.number().int() })

const PageQuery = z.object({
  limit: z.number().int().min(1).max(1000),
  before: Offset,
  wait: z.number().int().min(0).max(30_000),
})

const ProducerQuery = z.object({ producer: Id, seq: z.number().int().min(0) })

/** @param dialects the paths of the dialects that are on */
export function openApi(dialects: Json = {}): Json {
  const body = (content: Json) => ({ requestBody: { required: true, content } })
  const session = { parameters: [sessionPath] }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Twinrail',
      version: '1',
      description:
        'Agent runs as durable sessions over SSE, WebSocket and long-poll. PROTOCOL.md is the full description.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    paths: {
      '/v1/sessions': {
        post: {
          summary: 'Create a session, or return the existing one',
          ...body(json(jsonSchemaOf(CreateSession))),
          responses: { 201: answer('Created'), 200: answer('The session exists'), ...refusals },
        },
        get: {
          summary: 'List the sessions that the caller may read',
          parameters: queryOf(z.object({ after: Id, limit: z.number().int().min(1).max(1000) })),
          responses: { 200: answer('Sessions in the order of their ids'), ...refusals },
        },
      },
      '/v1/sessions/{sessionId}': {
        ...session,
        get: {
          summary: 'A session with its runs and open questions',
          responses: { 200: answer('State'), ...refusals },
        },
        delete: {
          summary: 'Delete a session',
          responses: { 204: answer('The session does not exist'), ...refusals },
        },
      },
      '/v1/sessions/{sessionId}/commands': {
        ...session,
        post: {
          summary:
            'Send one command; `run.start` with `Accept: text/event-stream` is answered with the run’s stream',
          ...body(json(ref('Command'))),
          responses: {
            200: {
              description: 'Accepted',
              content: { ...json(ref('Ack')), 'text/event-stream': { schema: ref('Event') } },
            },
            '4XX': answer('Refused', ref('Nack')),
            '5XX': answer('Failed', ref('Nack')),
          },
        },
      },
      '/v1/sessions/{sessionId}/events': {
        ...session,
        get: {
          summary: 'The session’s events as a stream, or in pages with `Accept: application/json`',
          parameters: [
            ...queryOf(SubscriptionOptions),
            ...queryOf(PageQuery),
            { name: 'Last-Event-ID', in: 'header', schema: ref('Offset') },
          ],
          responses: {
            200: {
              description: 'Events after the cursor, in order',
              content: {
                'text/event-stream': { schema: ref('Event') },
                ...json({
                  type: 'object',
                  required: ['events', 'controls', 'head', 'earliest', 'next', 'caughtUp'],
                  properties: {
                    events: { type: 'array', items: ref('Event') },
                    controls: { type: 'array', items: ref('Control') },
                    head: ref('Offset'),
                    earliest: ref('Offset'),
                    next: ref('Offset'),
                    caughtUp: { type: 'boolean' },
                  },
                }),
              },
            },
            204: answer('The run has ended and the cursor is past it: there are no more events'),
            ...refusals,
          },
        },
        post: {
          summary: 'Ingest events of an external producer',
          parameters: queryOf(ProducerQuery),
          ...body({
            ...json({ oneOf: [ref('EventBody'), { type: 'array', items: ref('EventBody') }] }),
            'application/x-ndjson': { schema: ref('EventBody') },
          }),
          responses: { 200: answer('The offsets of the events', jsonSchemaOf(Ingested)), ...refusals },
        },
      },
      '/v1/ws': {
        get: {
          summary: 'The WebSocket, subprotocol `twinrail.v1`',
          responses: { 101: answer('Switching protocols'), ...refusals },
        },
      },
      '/v1/agents': {
        get: {
          summary: 'List the agents with the JSON Schema of their input',
          responses: { 200: answer('Agents') },
        },
      },
      '/v1/guide': {
        get: {
          summary: 'Recommend a transport, with reasons; without a query, for every scenario',
          parameters: queryOf(GuideQuestion),
          responses: { 200: answer('A recommendation with reasons and measured figures'), ...refusals },
        },
      },
      '/healthz': { get: { summary: 'Is the process alive?', responses: { 200: answer('Yes') } } },
      '/readyz': {
        get: {
          summary: 'Is the server ready for traffic, and does the log take appends?',
          responses: { 200: answer('Yes'), 503: answer('Not now; the message says why') },
        },
      },
      '/metrics': { get: { summary: 'Prometheus metrics', responses: { 200: answer('Metrics') } } },
      ...dialects,
    },
    components: {
      schemas: {
        Id: jsonSchemaOf(Id),
        Offset: jsonSchemaOf(Offset),
        Event: jsonSchemaOf(EventSchema),
        EventBody: jsonSchemaOf(EventBodySchema),
        Command: jsonSchemaOf(SessionCommand),
        Control: jsonSchemaOf(ControlSchema),
        Ack: jsonSchemaOf(controlSchemas.ack),
        Nack: jsonSchemaOf(controlSchemas.nack),
        Error: {
          type: 'object',
          required: ['error'],
          properties: {
            error: {
              type: 'object',
              required: ['code', 'message', 'requestId'],
              properties: {
                code: { enum: Object.keys(errorTable) },
                message: { type: 'string' },
                requestId: { type: 'string' },
                details: { type: 'object' },
                retryAfterMs: { type: 'integer' },
              },
            },
          },
        },
      },
    },
  }
}
