/** The lines that follow exactly this session from a user's own code. */
import { type KeyboardEvent, memo, useId, useRef, useState } from 'react'
import { baseUrl } from './base-url.ts'

interface Snippet {
  readonly name: string
  readonly about: string
  readonly code: string
}

function snippetsOf(base: string, sessionId: string): readonly Snippet[] {
  const events = `${base}/v1/sessions/${encodeURIComponent(sessionId)}/events?create=1`
  return [
    {
      name: 'curl',
      about: 'Every event of this session, from the first one on, in a terminal.',
      code: `curl -N '${events}'`,
    },
    {
      name: 'EventSource',
      about: 'Without a library. The browser resumes by itself at the last offset.',
      code: `const events = new EventSource('${events}')
events.onmessage = ({ data }) => {
  const event = JSON.parse(data)
  console.log(event.offset, event.type)
}`,
    },
    {
      name: 'Client',
      about: 'It chooses the rail, resumes on any of them, and sends commands once.',
      code: `import { createClient } from 'twinrail-client'

const client = createClient({ url: '${base}' })
const session = client.session('${sessionId}')
for await (const event of session.events({ create: true })) {
  console.log(event.type)
}`,
    },
    {
      name: 'React',
      about: 'Everything that a chat shows: messages, questions, errors, start and stop.',
      code: `import { createClient } from 'twinrail-client'
import { useSession } from 'twinrail-client/react'

const client = createClient({ url: '${base}' })

export default function Chat() {
  const { messages } = useSession(client, '${sessionId}')
  return messages.map(({ id, role, text }) => (
    <p key={id}><b>{role}</b> {text}</p>
  ))
}`,
    },
  ]
}

export const CodePanel = memo(function CodePanel({ sessionId }: { sessionId: string }) {
  const snippets = snippetsOf(baseUrl, sessionId)
  const [chosen, setChosen] = useState(0)
  const [said, setSaid] = useState('')
  const tabs = useRef<HTMLDivElement>(null)
  const code = useRef<HTMLPreElement>(null)
  const id = useId()
  const snippet = snippets[chosen]!
  const choose = (index: number) => {
    setChosen(index)
    setSaid('')
  }
  const onKeyDown = ({ key }: KeyboardEvent) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[key]
    if (!by) return
    const next = (chosen + by + snippets.length) % snippets.length
    choose(next)
    ;(tabs.current!.children[next] as HTMLElement).focus()
  }
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(snippet.code)
      setSaid('Copied')
    } catch {
      // Over plain HTTP there is no clipboard.
      getSelection()!.selectAllChildren(code.current!)
      setSaid('Selected: copy it with your keyboard')
    }
  }
  return (
    <section className="panel code" id="code" aria-labelledby="code-title">
      <h2 id="code-title">From your code</h2>
      <p className="soft">This session, with its id, from a program of your own.</p>
      <div className="row">
        <div role="tablist" aria-label="Language" ref={tabs} onKeyDown={onKeyDown}>
          {snippets.map(({ name }, index) => (
            <button
              key={name}
              type="button"
              role="tab"
              id={`${id}-${index}`}
              aria-selected={index === chosen}
              aria-controls={`${id}-code`}
              tabIndex={index === chosen ? 0 : -1}
              onClick={() => choose(index)}
            >
              {name}
            </button>
          ))}
        </div>
        <button type="button" className="copy" onClick={copy}>
          Copy
        </button>
        <span role="status" className="soft">
          {said}
        </span>
      </div>
      <div role="tabpanel" id={`${id}-code`} aria-labelledby={`${id}-${chosen}`}>
        <p className="soft">{snippet.about}</p>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it */}
        <pre ref={code} tabIndex={0}>
          {snippet.code}
        </pre>
      </div>
      <p className="row links">
        <a href="about/README.md">Read me</a>
        <a href="about/docs/choosing-a-transport.md">SSE or WebSocket?</a>
        <a href="about/docs/pages.md">Pages in any framework</a>
        <a href="about/docs/how-to.md">How to</a>
        <a href="about/PROTOCOL.md">The protocol</a>
      </p>
    </section>
  )
})
