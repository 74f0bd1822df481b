/** The bounds that every client can rely on; `hello.limits` repeats them on the wire. */
export const limits = {
  /** UTF-8 bytes of one event's JSON. */
  eventBytes: 1024 * 1024,
  /** Bytes of one command, or of one line or array of ingested events. */
  messageBytes: 1024 * 1024,
  /** Subscriptions on one WebSocket. */
  subscriptions: 100,
} as const

/** UTF-8 bytes of JSON that one folded event reaches at the most. */
export const FOLD_BYTES = 64 * 1024

/** Bytes that one WebSocket message holds, unless one event alone is larger. */
export const FRAME_BYTES = 32 * 1024

/** What a connection is pinged after when nothing else was sent, in ms, unless the client asks otherwise. */
export const HEARTBEAT_MS = 15_000

/** Events in one page of `GET …/events`, at the most and by default. */
export const PAGE_EVENTS = 1000

/** UTF-8 bytes of event JSON in one page, unless one event alone is larger. */
export const PAGE_BYTES = 1024 * 1024

/** The longest long-poll, in ms. */
export const WAIT_MS = 30_000

/**
 * Characters of a text in an event or command. No longer text fits into an event; the bound is written out so that
 * every schema has one.
 */
export const TEXT_CHARS = 1024 * 1024

/** Steps of one `plan.updated`. Each is checked by itself, and a bad one costs some 20 µs. */
export const PLAN_STEPS = 1000

/** Names in one object whose names are free, such as `usage`. */
export const FREE_NAMES = 1000

/** Arrays and objects within each other. What is nested deeper overflows the stack of whoever walks through it. */
export const NESTING = 500

/** The largest `windowBytes` of a subscription. */
export const WINDOW_BYTES = 16 * 1024 * 1024
