/** The names of the dialects that upstreams may speak. `auto` recognizes the others. */
export const upstreamDialects = [
  'auto',
  'ai-sdk',
  'ag-ui',
  'openai',
  'openai-responses',
  'genie',
  'sse',
  'ndjson',
  'text',
] as const

/** The name of a dialect of upstreams. */
export type UpstreamDialectName = (typeof upstreamDialects)[number]
