/** Shows events to a person: content on stdout, everything else on stderr. */
import type { EventOf, TerminalType, TwinrailEvent } from '../protocol/index.ts'
import { type Note, noteOf } from './notes.ts'
import type { Screen } from './screen.ts'
import { duration, oneLine } from './text.ts'

type Plan = EventOf<'plan.updated'>['data']
type Source = EventOf<'source.added'>['data']
type Terminal = Extract<TwinrailEvent, { type: TerminalType }>

const marks = { pending: '○', running: '▸', done: '✓', failed: '✗' } as const

/** State of a run that has no terminal event yet. */
interface Run {
  startedAt: number
  plan?: Plan
  sources: Source[]
  /** Whether any content was shown. */
  hasContent: boolean
}

/** Shows one event after the other, folded or not. */
export class Renderer {
  readonly #screen: Screen
  readonly #runs = new Map<string, Run>()

  constructor(screen: Screen) {
    this.#screen = screen
  }

  show(event: TwinrailEvent): void {
    const run = this.#runOf(event)
    switch (event.type) {
      case 'text.delta':
        run.hasContent = true
        this.#screen.content(event.data.partId, event.data.delta)
        break
      case 'artifact.delta':
        run.hasContent = true
        this.#screen.content(event.data.artifactId, event.data.delta)
        break
      case 'reasoning.delta':
        this.#screen.aside(event.data.partId, event.data.delta)
        break
      case 'plan.updated':
        this.#plan(run, event.data)
        break
      case 'source.added':
        run.sources.push(event.data)
        break
      case 'run.completed':
      case 'run.failed':
      case 'run.cancelled':
        this.#end(run, event)
        break
      default: {
        const note = noteOf(event)
        if (note) this.#screen.note(note.text, note.format)
      }
    }
  }

  #runOf({ runId = '', time }: TwinrailEvent): Run {
    const run = this.#runs.get(runId) ?? { startedAt: time, sources: [], hasContent: false }
    this.#runs.set(runId, run)
    return run
  }

  /** Shows all steps of a new plan, and afterwards only the steps that changed. */
  #plan(run: Run, { title, steps }: Plan): void {
    const before = run.plan?.steps ?? []
    const known = before.length === steps.length && steps.every((step, i) => step.title === before[i]?.title)
    if (!known && title) this.#screen.note(oneLine(title), 'bold')
    for (const [i, step] of steps.entries()) {
      if (known && before[i]?.status === step.status) continue
      this.#screen.note(
        `  ${marks[step.status]} ${oneLine(step.title)}`,
        step.status === 'failed' ? 'red' : 'reset',
      )
    }
    run.plan = { steps }
  }

  #end(run: Run, event: Terminal): void {
    this.#runs.delete(event.runId ?? '')
    if (event.type === 'run.completed' && !run.hasContent && event.data.result !== undefined) {
      this.#screen.json(JSON.stringify(event.data.result, undefined, 2))
    }
    this.#sources(run.sources)
    const { text, format } = outcomeOf(event)
    this.#screen.note(`${text} · ${duration(event.time - run.startedAt)}`, format)
  }

  #sources(sources: Source[]): void {
    if (sources.length === 0) return
    this.#screen.line('\nSources')
    for (const [i, { title, url }] of sources.entries()) {
      this.#screen.line(`${i + 1}. ${oneLine(title, 200)}${url ? ` ${oneLine(url, 2000)}` : ''}`)
    }
  }
}

/** The outcome of a run, as one line. */
export function outcomeOf({ type, data }: Terminal): Note {
  switch (type) {
    case 'run.completed':
      return { text: `✓ completed (${oneLine(data.finishReason)})`, format: 'green' }
    case 'run.failed':
      return { text: `✗ failed ${oneLine(data.code)}: ${oneLine(data.message, 500)}`, format: 'red' }
    case 'run.cancelled':
      return { text: `■ cancelled: ${oneLine(data.reason, 500)}`, format: 'yellow' }
  }
}
