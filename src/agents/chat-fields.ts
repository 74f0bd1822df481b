/** How a chat becomes the input of an agent by declaration, which can be sent where a function cannot. */

/** A message as a foreign client resends its conversation. */
export interface ForeignMessage {
  /** Such as `user`, `assistant`, `system` or `tool`. */
  readonly role: string
  /** The text of all its text parts. */
  readonly text: string
  /** The message as the client sent it. */
  readonly raw: unknown
}

/** The fields of an agent's input that a chat fills. */
export interface ChatFields {
  /** Gets the last text of the user. A chat shows it as what the user said. */
  readonly text?: string | undefined
  /** Gets the conversation, as a list of `{role, content}`. */
  readonly messages?: string | undefined
}

/** The text of the user's last message; `undefined` when there is none. */
export function lastUserText(messages: readonly ForeignMessage[]): string | undefined {
  return messages.findLast(({ role, text }) => role === 'user' && text !== '')?.text
}

/** The input that these fields make of a conversation. A field for which it has nothing is absent. */
export function inputOfChat(
  { text, messages }: ChatFields,
  conversation: readonly ForeignMessage[],
): Record<string, unknown> {
  const said = lastUserText(conversation)
  return {
    ...(messages !== undefined && {
      [messages]: conversation.map(({ role, text }) => ({ role, content: text })),
    }),
    ...(text !== undefined && said !== undefined && { [text]: said }),
  }
}

/** The text of an input as a chat shows it; `undefined` where the input has no text in its field. */
export function textOfInput({ text }: ChatFields, input: unknown): string | undefined {
  if (text === undefined || input === null || typeof input !== 'object') return undefined
  const said = (input as Record<string, unknown>)[text]
  return typeof said === 'string' ? said : undefined
}
