/** What happens in each situation, and what a client must show then. */
import type { Test } from 'tap'
import { fetchPage } from '../../fixtures/wire-clients.ts'
import { command, eventually, state } from '../../fixtures/wire-server.ts'
import type { ForeignClient, Place, Shown, Situation, Tab } from './client.ts'

export interface Scene {
  readonly client: ForeignClient
  readonly place: Place
  /** The server's own address: `place.url` may be that of a line that can be cut. */
  readonly url: string
  /** Cuts what is open. */
  cut(): void
  /** Kills the server and starts it anew. Resolves when it is there again. */
  restart(): Promise<void>
}

/** The answer to this stops in its middle until it is released. */
const HELD = `held ${Array.from({ length: 60 }, (_, i) => i).join(' ')}`

/** Characters after which an answer is in its middle. */
const MIDDLE = 20

interface Played {
  /** Who shows the run in the end. */
  tabs: readonly Tab[]
  /** What they show. */
  text: string | RegExp
  verdict: Shown['verdict']
  runs?: number
  tools?: Record<string, unknown>
  error?: RegExp
}

const open = ({ client, place }: Scene, t: Test, saved?: unknown) => client.open(t, place, saved)

const sessionOf = (tab: Tab, { place }: Scene) => tab.session?.() ?? place.id

/** Sends a prompt whose answer takes a while. Resolves in the middle of it, with what tells when the response is over. */
async function begin(t: Test, tab: Tab, text = HELD): Promise<{ over: Promise<void> }> {
  // A page that is closed tells nobody how it went on.
  const over = tab.send(text).catch(() => {})
  await eventually(t, 'a part of the answer is there', async () => (await tab.shown()).text.length > MIDDLE)
  return { over }
}

/** Lets a held answer go on. */
async function release(t: Test, tab: Tab, scene: Scene): Promise<void> {
  const session = sessionOf(tab, scene)
  await eventually(t, 'the answer may go on', async () => {
    const { runId } = (await state(scene.url, session)).runs?.at(-1) ?? {}
    const steer = { type: 'input.steer', runId, text: 'on' }
    return (await command(scene.url, session, steer)).status === 200
  })
}

/** Opens the conversation once more, in the middle of an answer; resolves when it has ended there. */
async function openAgain(t: Test, scene: Scene, saved: unknown): Promise<Tab> {
  const tab = await open(scene, t, saved)
  const back = comeBack(t, tab)
  await eventually(t, 'the same part is there', async () => (await tab.shown()).text.length > MIDDLE)
  await release(t, tab, scene)
  await back
  return tab
}

/** Comes back until the client knows how the run ended. */
async function comeBack(t: Test, tab: Tab): Promise<void> {
  await eventually(t, 'the client has come back', async () => {
    if ((await tab.shown()).verdict === undefined) await tab.resume()
    return (await tab.shown()).verdict !== undefined
  })
}

/** Another client answers what the session asks for. */
async function answerFor(t: Test, url: string, sessionId: string, value: unknown): Promise<void> {
  await eventually(t, 'another client has answered', async () => {
    const [question] = (await state(url, sessionId)).pendingInputs ?? []
    if (!question) return false
    const { requestId } = question
    return (await command(url, sessionId, { type: 'input.answer', requestId, value })).status === 200
  })
}

export const plays: Record<Situation, { agent: string; play(t: Test, scene: Scene): Promise<Played> }> = {
  answer: {
    agent: 'echo',
    async play(t, scene) {
      const tab = await open(scene, t)
      await tab.send('hello there')
      return { tabs: [tab], text: 'hello there ', verdict: 'completed' }
    },
  },
  'two prompts in a row': {
    agent: 'echo',
    async play(t, scene) {
      const tab = await open(scene, t)
      await tab.send('hello there')
      const first = sessionOf(tab, scene)
      await tab.send('again')
      // A client whose requests have no conversation begins a session with each.
      return {
        tabs: [tab],
        text: 'again ',
        verdict: 'completed',
        runs: first === sessionOf(tab, scene) ? 2 : 1,
      }
    },
  },
  'tool of the agent': {
    agent: 'looking',
    async play(t, scene) {
      const tab = await open(scene, t)
      await tab.send('the time')
      const tools = scene.client.lacks['tool of the agent'] === undefined && { getTime: { time: 'noon' } }
      return { tabs: [tab], text: 'It is noon.', verdict: 'completed', ...(tools && { tools }) }
    },
  },
  'tool of the client': {
    agent: 'careful',
    async play(t, scene) {
      const tab = await open(scene, t)
      const city = { city: 'Bern' }
      const sent = tab.send('delete at my location')
      if (tab.approve) await sent.then(() => tab.approve?.())
      else await answerFor(t, scene.url, sessionOf(tab, scene), { approved: true })
      if (tab.giveResult) {
        await sent
        await tab.giveResult(city)
      } else await answerFor(t, scene.url, sessionOf(tab, scene), city)
      await sent
      return { tabs: [tab], text: 'I will delete it. Done.', verdict: 'completed' }
    },
  },
  approval: {
    agent: 'careful',
    async play(t, scene) {
      const tab = await open(scene, t)
      const sent = tab.send('delete')
      if (tab.approve) {
        await sent
        t.equal((await tab.shown()).verdict, 'asks', 'it shows that the run waits')
        await tab.approve()
      } else await answerFor(t, scene.url, sessionOf(tab, scene), { approved: true })
      await sent
      return { tabs: [tab], text: 'I will delete it. Done.', verdict: 'completed' }
    },
  },
  error: {
    agent: 'failing',
    async play(t, scene) {
      const tab = await open(scene, t)
      await tab.send('x')
      return { tabs: [tab], text: 'I begin', verdict: 'failed', error: /the oven is too hot/ }
    },
  },
  cancel: {
    agent: 'ticking',
    async play(t, scene) {
      const tab = await open(scene, t)
      const { over } = await begin(t, tab, 'go')
      if (tab.cancel) await tab.cancel()
      else {
        const session = sessionOf(tab, scene)
        const { runId } = (await state(scene.url, session)).runs?.at(-1) ?? {}
        await command(scene.url, session, { type: 'run.cancel', runId })
      }
      await over
      return { tabs: [tab], text: /^(tick )+$/, verdict: 'cancelled' }
    },
  },
  'second tab': {
    agent: 'echo',
    async play(t, scene) {
      const tab = await open(scene, t)
      const { over } = await begin(t, tab)
      const second = await openAgain(t, scene, await tab.saved())
      await over
      return { tabs: [tab, second], text: `${HELD} `, verdict: 'completed' }
    },
  },
  'reload in mid-answer': {
    agent: 'echo',
    async play(t, scene) {
      const tab = await open(scene, t)
      await begin(t, tab)
      const saved = await tab.saved()
      await tab.leave()
      const again = await openAgain(t, scene, saved)
      return { tabs: [again], text: `${HELD} `, verdict: 'completed' }
    },
  },
  'network cut in mid-answer': {
    agent: 'echo',
    async play(t, scene) {
      const tab = await open(scene, t)
      const { over } = await begin(t, tab)
      scene.cut()
      await release(t, tab, scene)
      await over
      await comeBack(t, tab)
      return { tabs: [tab], text: `${HELD} `, verdict: 'completed' }
    },
  },
  'server restart in mid-answer': {
    agent: 'echo',
    async play(t, scene) {
      const tab = await open(scene, t)
      const { over } = await begin(t, tab)
      await scene.restart()
      await release(t, tab, scene)
      await over
      await comeBack(t, tab)
      return { tabs: [tab], text: `${HELD} `, verdict: 'completed' }
    },
  },
}

/** Plays a situation; every tab must show what is expected, and what the log says. */
export async function check(t: Test, situation: Situation, scene: Scene): Promise<void> {
  const { tabs, text, verdict, runs = 1, tools, error } = await plays[situation].play(t, scene)
  for (const tab of tabs) {
    const shown = await tab.shown()
    if (typeof text === 'string') t.equal(shown.text, text)
    else t.match(shown.text, text)
    t.equal(shown.verdict, verdict, shown.error ?? 'the verdict')
    if (tools) t.match(shown.tools, tools)
    if (error) t.match(shown.error, error)
    const sessionId = sessionOf(tab, scene)
    const known = (await state(scene.url, sessionId)).runs ?? []
    t.equal(known.length, runs, 'runs of the session')
    const { runId = '' } = known.at(-1) ?? {}
    const { events } = await fetchPage(scene.url, sessionId, { run: runId, replay: 'full' })
    const deltas = events.flatMap(({ type, data }) =>
      type === 'text.delta' ? [(data as { delta: string }).delta] : [],
    )
    t.equal(shown.text, deltas.join(''), 'the text of the log')
    t.equal(events.at(-1)?.type, `run.${verdict}`)
  }
}
