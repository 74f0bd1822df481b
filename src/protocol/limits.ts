/** Limits of the protocol, the same on every server. `hello.limits` sends them to clients. */
export const limits = {
  /** Maximum size of one event's JSON, in UTF-8 bytes. */
  eventBytes: 1024 * 1024,
  /** Maximum size of one command, or of one line or array of ingested events, in bytes. */
  messageBytes: 1024 * 1024,
  /** Maximum number of subscriptions on one WebSocket. */
  subscriptions: 100,
} as const

/** Maximum size of the JSON of one folded event, in UTF-8 bytes. */
export const FOLD_BYTES = 64 * 1024

/** Maximum size of one WebSocket message of the server, in bytes, unless one event alone is larger. */
export const FRAME_BYTES = 32 * 1024

/** Default time of silence after which a server sends a ping, in ms. A server or a client may choose another time. */
export const HEARTBEAT_MS = 15_000

/** Maximum and default number of events in one page of `GET …/events`. */
export const PAGE_EVENTS = 1000

/** Maximum size of the event JSON in one page, in UTF-8 bytes, unless one event alone is larger. */
export const PAGE_BYTES = 1024 * 1024

/** Maximum wait of a long-poll, in ms. */
export const WAIT_MS = 30_000

/**
 * Maximum number of characters of a text in an event or command. A longer text would not fit into an event; the schemas
 * state the bound explicitly.
 */
export const TEXT_CHARS = 1024 * 1024

/** Maximum number of steps of one `plan.updated`. Each step is checked separately; an invalid one costs about 20 µs. */
export const PLAN_STEPS = 1000

/** Maximum number of names in one object with arbitrary names, such as `usage`. */
export const FREE_NAMES = 1000

/** Maximum nesting of arrays and objects. Code that walks through deeper JSON recursively overflows the stack. */
export const NESTING = 500

/** Maximum number of arrays and objects in one command, body of JSON, or line of NDJSON. */
export const JSON_PARTS = 100_000

/** Maximum `windowBytes` of a subscription. */
export const WINDOW_BYTES = 16 * 1024 * 1024

/** Maximum number of agents of one worker. */
export const WORKER_AGENTS = 100

/** Maximum number of runs that one worker takes at a time. */
export const WORKER_SLOTS = 1000

/** Maximum number of events in one `work.append`. */
export const WORK_EVENTS = 1000

/** Maximum length of a worker's description of an agent. */
export const DESCRIPTION_CHARS = 4096

/** Maximum length of a token or API key. */
export const TOKEN_CHARS = 8192
