/** One chat: its messages, and the field for the next one. */
import { type FormEvent, type KeyboardEvent, useLayoutEffect, useRef, useState } from 'react'
import type { Client } from 'twinrail-client'
import { useSession } from 'twinrail-client/react'
import { Answer } from './answer.tsx'

const suggestions = [
  'Where is order 1042?',
  'Refund order 1042',
  'How long does shipping take?',
  'Write a guide to bicycle care',
  'Look up order 1077, which fails once',
]

interface ChatProps {
  client: Client
  sessionId: string
  openNew: () => void
}

export function Chat({ client, sessionId, openNew }: ChatProps) {
  const chat = useSession(client, sessionId)
  const { session, messages, runs, isLoading, caughtUp, ended, error, hasOlder } = chat
  const [text, setText] = useState('')
  const scroller = useScrollAtEnd(messages)

  const say = async (prompt: string) => {
    const isFirst = messages.length === 0
    setText('')
    const started = await chat.start('chat', { prompt })
    // The list refreshes itself after a change of this client.
    if (started && isFirst) await session.update({ title: prompt.slice(0, 80) }).catch(() => {})
  }
  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (text.trim() && !isLoading) void say(text.trim())
  }
  const keyPressed = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
    event.preventDefault()
    event.currentTarget.form?.requestSubmit()
  }

  if (ended !== undefined) {
    return (
      <main className="over">
        <p>{ended === 'deleted' ? 'This chat was deleted.' : `This chat has ended: ${ended}.`}</p>
        <button type="button" className="primary" onClick={openNew}>
          New chat
        </button>
      </main>
    )
  }
  // A failed run is shown where it failed.
  const problem = runs.some(run => run.error === error) ? undefined : error
  return (
    <main>
      <div className="scroller" ref={scroller}>
        <div className="messages">
          {hasOlder && (
            <button type="button" className="quiet" onClick={() => chat.loadOlder()}>
              Earlier messages
            </button>
          )}
          {caughtUp && messages.length === 0 && (
            <section className="empty">
              <h2>What can I do for you?</h2>
              {suggestions.map(suggestion => (
                <button type="button" key={suggestion} onClick={() => say(suggestion)}>
                  {suggestion}
                </button>
              ))}
            </section>
          )}
          {messages.map(message =>
            message.role === 'user' ? (
              <article key={message.id} className="user">
                <h2 className="unseen">You</h2>
                <p>{message.text}</p>
              </article>
            ) : (
              <Answer
                key={message.id}
                message={message}
                answer={chat.answer}
                retry={message.runId === runs.at(-1)?.runId ? chat.retry : undefined}
              />
            ),
          )}
        </div>
      </div>
      <form className="composer" onSubmit={submit}>
        {problem && (
          <p className="problem" role="alert">
            {problem.message}{' '}
            <button type="button" onClick={() => chat.retry()}>
              Try again
            </button>
          </p>
        )}
        <p className="unseen" role="status">
          {isLoading ? 'The assistant is answering' : ''}
        </p>
        <textarea
          rows={1}
          value={text}
          maxLength={10_000}
          placeholder="Ask about an order"
          aria-label="Message"
          onChange={({ target }) => setText(target.value)}
          onKeyDown={keyPressed}
        />
        {isLoading ? (
          <button type="button" onClick={() => chat.stop()}>
            Stop
          </button>
        ) : (
          <button type="submit" className="primary" disabled={!text.trim()}>
            Send
          </button>
        )}
      </form>
    </main>
  )
}

/** Keeps the end in view while content is added, unless the user has scrolled away from it. */
function useScrollAtEnd(content: unknown) {
  const ref = useRef<HTMLDivElement>(null)
  const isAtEnd = useRef(true)
  useLayoutEffect(() => {
    const element = ref.current
    if (!element) return
    const scrolled = () => {
      isAtEnd.current = element.scrollHeight - element.scrollTop - element.clientHeight < 40
    }
    element.addEventListener('scroll', scrolled, { passive: true })
    return () => element.removeEventListener('scroll', scrolled)
  }, [])
  // biome-ignore lint/correctness/useExhaustiveDependencies: new content moves the end
  useLayoutEffect(() => {
    if (isAtEnd.current) ref.current?.scrollTo({ top: ref.current.scrollHeight })
  }, [content])
  return ref
}
