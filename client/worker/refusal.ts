/** Errors of the server as an agent gets them inside the server. */
import { type ErrorCode, errorTable, TwinrailError } from '../../src/protocol/errors.ts'
import { ClientError } from '../errors.ts'

/** The refusal as a TwinrailError; `unavailable` when the server could not be reached. */
export function refusalOf(error: unknown): unknown {
  if (!(error instanceof ClientError)) return error
  const { code, message, details, cause } = error
  if (!Object.hasOwn(errorTable, code)) return new TwinrailError('unavailable', message, { cause: error })
  return new TwinrailError(code as ErrorCode, message, { ...(details && { details }), cause })
}
