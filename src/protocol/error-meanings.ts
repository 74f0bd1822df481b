/** What each error code means, for the docs. `docs.test.ts` holds PROTOCOL.md to it. */
import type { ErrorCode } from './errors.ts'

/** What it means and what to do. */
export const errorMeanings: Readonly<Record<ErrorCode, string>> = {
  'bad-request': 'The request has the wrong shape; `details` names the field. Correct it.',
  unauthorized: 'No valid credentials. Authenticate, then try again.',
  forbidden: 'The principal, the page’s origin or the Host is not allowed to do this.',
  'not-found': 'There is no such route.',
  'session-not-found': 'No such session. Create it, or start a run or publish in it.',
  'run-not-found': 'The session has no such run. Start it first.',
  'agent-not-found': 'No agent of that name; `GET /v1/agents` lists them.',
  'input-not-found': 'The session has no input request of that id.',
  timeout: 'It took too long. Try again.',
  conflict:
    'The id is already in use for something else, or a producer’s numbers have a hole; see `details`.',
  'already-answered': 'Somebody else’s answer was first; `details` holds its offset, value and by.',
  'input-expired': 'The input request expired before an answer came.',
  'run-ended': 'The run has its terminal; `details` holds its type and offset.',
  'too-large': 'Larger than `hello.limits` allows. Send less.',
  'unsupported-media-type': 'Send `application/json`, or `application/x-ndjson` where events are ingested.',
  'rate-limited': 'Too many at once. Wait `retryAfterMs`, then try again.',
  'too-slow': 'The connection fell too far behind. Come back with the last offset received.',
  internal:
    'The server failed; the cause is in its log, if it keeps one, under the `requestId`. Try again later.',
  unavailable:
    'The log cannot be reached now, or takes no appends; `details.reason` is `full` when it has no room. Try again.',
  restart: 'The server is stopping. Reconnect after `retryAfterMs`.',
}
