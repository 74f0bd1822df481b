/** The dialects: protocols of foreign clients that the server speaks. */

export const dialectNames = ['ai-sdk', 'ag-ui', 'openai', 'genie'] as const

/** The name of a dialect, in settings and in metrics. */
export type DialectName = (typeof dialectNames)[number]
