/** What the page is, the demo, the example questions, and the line that says what happens. */
import { useEffect, useRef, useState } from 'react'
import type { AgentInfo } from '../index.ts'
import type { UseSession } from '../react/index.ts'
import { textOf } from './agent-form.ts'
import { COUNT, demoAgent, playDemo, steps } from './demo.ts'
import { countLine } from './ledger.ts'
import type { Rail } from './rail.ts'

const examples = [
  'When should I use SSE and when WebSocket?',
  'How does a client resume?',
  'What happens to a slow client?',
]

/** Runs with more events are not counted in the log: it takes a request per thousand. */
const COUNTED = 10_000

/** The number of events of a run in the log itself, each one by itself; `undefined` when there are too many. */
async function countInLog(session: UseSession['session'], runId: string): Promise<number | undefined> {
  let after: string | undefined
  for (let total = 0; total <= COUNTED; ) {
    const page = await session.page({ run: runId, replay: 'full', after })
    total += page.events.length
    if (page.caughtUp || page.events.length === 0) return total
    after = page.next
  }
  return undefined
}

/** The line that compares the newest run on both rails with the log, once it has ended on both. */
function useCount(rails: readonly [Rail, Rail], views: readonly [UseSession, UseSession]) {
  const [counted, setCounted] = useState<{ runId: string; line: string }>()
  const { session, run } = views[1]
  const entries = run && ([rails[0].ledger.of(run.runId), rails[1].ledger.of(run.runId)] as const)
  const runId = entries?.[0].ended && entries[1].ended ? run!.runId : undefined
  useEffect(() => {
    if (runId === undefined) return
    let left = false
    countInLog(session, runId).then(
      total => {
        if (left || total === undefined) return
        const line = countLine(total, [rails[0].ledger.of(runId), rails[1].ledger.of(runId)])
        setCounted({ runId, line })
      },
      () => {}, // the line can wait for the next run
    )
    return () => {
      left = true
    }
  }, [rails, session, runId])
  return counted?.runId === run?.runId ? counted?.line : undefined
}

interface DemoBarProps {
  rails: readonly [Rail, Rail]
  views: readonly [UseSession, UseSession]
  agents: readonly AgentInfo[]
  start: UseSession['start']
}

export function DemoBar({ rails, views, agents, start }: DemoBarProps) {
  const [step, setStep] = useState<number>()
  const playing = useRef<AbortController>()
  const stage = useRef<HTMLElement>(null)
  const count = useCount(rails, views)
  const { run, isLoading, questions, stop } = views[1]
  useEffect(() => () => playing.current?.abort(), [])

  const asked = agents.find(({ name }) => name === 'deepsearch') ?? agents.find(({ input }) => textOf(input))
  const field = asked && textOf(asked.input)
  const playable = agents.some(({ name }) => name === demoAgent)
  const isPlaying = step !== undefined && step < COUNT

  const toggle = () => {
    if (isPlaying) {
      playing.current?.abort()
      setStep(undefined)
      return void stop()
    }
    const abort = new AbortController()
    playing.current = abort
    setStep(0)
    stage.current?.scrollIntoView({
      block: 'start',
      behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth',
    })
    playDemo(rails, views[1].start, setStep, abort.signal).catch(() => setStep(undefined))
  }

  const says = () => {
    if (isPlaying) return steps[step]!.text
    if (count) return count
    if (questions.length > 0) return `${run?.agent} waits for you: answer its question on either rail.`
    if (isLoading) return `${run?.agent} is answering. Cut a line, slow a reader, or switch a rail.`
    return 'Play the demo or ask: one answer comes over both rails at once.'
  }
  return (
    <>
      <section className="hero" aria-label="Twinrail">
        <h1>
          One durable log, two rails: cut either line in the middle of an answer, and nothing is lost or
          doubled.
        </h1>
        <div className="tries">
          {playable && (
            <button type="button" id="play" className="primary" onClick={toggle}>
              {isPlaying ? 'Stop the demo' : 'Play the demo'}
            </button>
          )}
          {field &&
            examples.map(question => (
              <button
                type="button"
                key={question}
                className="example"
                onClick={() => void start(asked.name, { [field]: question })}
              >
                {question}
              </button>
            ))}
        </div>
      </section>
      <section className="now" ref={stage} aria-label="What happens">
        <p role="status" id="says" className={count && !isPlaying ? 'counted' : ''}>
          {says()}
        </p>
        <ol className="steps" aria-label="Steps of the demo" data-playing={step !== undefined}>
          {[...steps.map(({ name }) => name), 'Count'].map((name, index) => (
            <li
              key={name}
              aria-current={index === step ? 'step' : undefined}
              data-done={step !== undefined && index < step}
            >
              {name}
            </li>
          ))}
        </ol>
      </section>
    </>
  )
}
