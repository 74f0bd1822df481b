/** What a statement is checked on: a transport of events, or plain requests. */
export const channels = ['sse', 'websocket', 'long-poll', 'http'] as const
export type Channel = (typeof channels)[number]

/** Streams that push, and pages. */
export const everywhere = ['sse', 'websocket', 'long-poll'] as const satisfies Channel[]
export const pushed = ['sse', 'websocket'] as const satisfies Channel[]
/** Where commands are sent. */
export const commanded = ['http', 'websocket'] as const satisfies Channel[]
