/** What a question to a run's users has to meet, whoever asks it: an agent by `ask`, or a producer by ingest. */
import { type EventBody, faultOf, TwinrailError } from '../protocol/index.ts'
import type { Expiry } from './expiry.ts'
import type { SchemaChecker } from './schemas/checker.ts'

/** UTF-8 bytes of JSON that a question takes, its schema included. A session's state holds all open ones. */
export const QUESTION_BYTES = 64 * 1024

/** How deep arrays and objects of a question's schema may be nested. */
export const SCHEMA_NESTING = 64

/** What questions are checked with. */
export interface QuestionParts {
  readonly schemas: SchemaChecker
  readonly expiry: Expiry
}

/**
 * Resolves when the `input.requested` is within its bounds and its schema can be used. Other events are not looked at.
 * @throws TwinrailError `too-large` or `bad-request` saying why, or `rate-limited` while too many wait
 */
export async function checkQuestion(body: EventBody, { schemas, expiry }: QuestionParts): Promise<void> {
  if (body.type !== 'input.requested') return
  if (body.data.expiresAt !== undefined) expiry.mustHaveRoom()
  const bytes = Buffer.byteLength(JSON.stringify(body.data))
  if (bytes > QUESTION_BYTES) {
    throw new TwinrailError(
      'too-large',
      `the question has ${bytes} bytes of JSON, more than the ${QUESTION_BYTES} allowed; show long texts as an artifact`,
      { details: { path: 'data', bytes, limit: QUESTION_BYTES } },
    )
  }
  const { schema } = body.data
  if (schema === undefined) return
  const fault = faultOf(schema, SCHEMA_NESTING)
  if (fault) {
    throw new TwinrailError('bad-request', `the question's schema: ${fault.why}`, {
      details: { path: 'data.schema' },
    })
  }
  await schemas.checkSchema(schema)
}
