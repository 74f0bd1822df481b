/** The agent's input and its own events, with the schemas that the agent and the page share. */
// As a namespace, of which a page bundles only what it uses.
import * as z from 'zod'

/** A longer document is refused, in characters. */
export const MAX_CHARS = 200_000

export const Document = z.object({
  name: z.string().min(1).max(200),
  text: z
    .string()
    .max(MAX_CHARS)
    .refine(text => text.trim() !== '', 'the document is empty'),
})
export type Document = z.output<typeof Document>

/** `x.facts`: what is counted in the document. */
export const Facts = z.object({
  language: z.enum(['en', 'zh']),
  sections: z.number(),
  sentences: z.number(),
  words: z.number(),
  readingMinutes: z.number(),
})
export type Facts = z.output<typeof Facts>

/** `x.terms`: the words that matter most, the most important one first. */
export const Terms = z.object({
  terms: z.array(z.object({ term: z.string(), count: z.number(), weight: z.number() })),
})
export type Terms = z.output<typeof Terms>
