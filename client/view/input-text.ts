/** The text of a run's input, as a chat shows it. */

const fields = ['query', 'prompt', 'text', 'message']

/**
 * Returns an input that is a text; the field `query`, `prompt`, `text` or `message`; the last user text of `messages`;
 * or the input as JSON. `undefined` without an input.
 */
export function inputText(input: unknown): string | undefined {
  if (typeof input === 'string') return input
  if (input === null || typeof input !== 'object') return JSON.stringify(input ?? undefined)
  const record = input as Record<string, unknown>
  for (const field of fields) if (typeof record[field] === 'string') return record[field]
  const { messages } = record
  const last = Array.isArray(messages) && messages.findLast(message => message?.role === 'user')
  return textOf(last?.content ?? last?.parts) ?? JSON.stringify(input)
}

/** The field of an agent's input that takes a user's text, by the JSON Schema of the input. @default 'query' */
export function textField(schema: unknown): string {
  const { properties = {} } = (schema ?? {}) as { properties?: object }
  return [...fields, 'messages'].find(field => field in properties) ?? 'query'
}

/** A message's content: a text, or a list of parts with texts. */
function textOf(content: unknown): string | undefined {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return undefined
  return content.map(part => (typeof part?.text === 'string' ? part.text : '')).join('')
}
