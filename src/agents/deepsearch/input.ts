/** What a caller asks of `deepsearch`. */
import { z } from 'zod'

export const DeepsearchInput = z.object({
  query: z.string().trim().min(1).max(2000).describe('What you want to know; it may hold several questions.'),
  confirm: z.boolean().default(false).describe('Whether to ask for approval of the plan before searching.'),
  maxSources: z
    .number()
    .int()
    .min(1)
    .max(50)
    .default(8)
    .describe('Sources cited at the most, for the query and again for each message sent into the run.'),
})

export type DeepsearchInput = z.output<typeof DeepsearchInput>
