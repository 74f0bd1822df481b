/** Tabs of one browser share their connections: eight tabs over HTTP/1.1, and a leader that closes or freezes. */
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import type * as Twinrail from '../../client/index.ts'
import { answerOn, ask, buildPage, clientPage, closeBrowser, openTab, profile, serve, skip } from './stage.ts'

const TABS = 8
const COUNT = 600

/** What a tab has read, on its `globalThis`. */
interface Reading {
  client: Twinrail.Client
  offsets: string[]
  text: string
  live: boolean
  ended: boolean
  errors: string[]
}
declare global {
  var reading: Reading
}

/** A tab that follows a session, and what it asked the server for. */
async function tab(
  t: Test,
  url: string,
  context: Awaited<ReturnType<typeof profile>>,
  transport: 'sse' | 'websocket',
  sessionId: string,
) {
  const page = await clientPage(t, url, context)
  const seen = { streams: 0, sockets: 0 }
  page.on('request', request => {
    if (request.headers()['accept'] === 'text/event-stream') seen.streams += 1
  })
  page.on('websocket', () => {
    seen.sockets += 1
  })
  await page.evaluate(
    async ([transport, sessionId]) => {
      const client = twinrail.createClient({
        url: location.origin,
        transport,
        connect: twinrail.sharedTabs(),
        backoff: { baseMs: 50, capMs: 200 },
      })
      const reading: Reading = { client, offsets: [], text: '', live: false, ended: false, errors: [] }
      globalThis.reading = reading
      const session = client.session(sessionId)
      const read = async () => {
        for await (const event of session.events({
          create: true,
          onStatus: status => {
            if (status.state === 'waiting') reading.errors.push(status.error.message)
          },
        })) {
          if (event.type === 'caught-up') reading.live = true
          if (event.type === 'reset' || event.type === 'gap') reading.errors.push(event.type)
          if (!('offset' in event) || !event.type.includes('.')) continue
          const { from, offset } = event as { from?: string; offset: string }
          reading.offsets.push(`${from ?? offset} ${offset}`)
          if (event.type === 'text.delta') reading.text += event.data.delta
          if (event.type === 'run.completed') reading.ended = true
        }
      }
      read().catch(error => reading.errors.push(String(error)))
    },
    [transport, sessionId] as const,
  )
  return { page, seen }
}

type Tab = Awaited<ReturnType<typeof tab>>

const until = (page: Page, what: string) => page.waitForFunction(what, undefined, { polling: 20 })

/** Checks that a tab has each event once and in order, and the whole answer. */
async function complete(t: Test, page: Page, name: string): Promise<void> {
  await until(page, 'reading.ended')
  const { offsets, text, whole, errors } = await page.evaluate(async () => {
    const { client, offsets, text, errors } = reading
    const sessionId = (globalThis as { sessionId?: string }).sessionId ?? 'room'
    let whole = ''
    for (let after: string | undefined; ; ) {
      const page = await client.session(sessionId).page({ after })
      for (const event of page.events) if (event.type === 'text.delta') whole += event.data.delta
      if (page.caughtUp) break
      after = page.next
    }
    return { offsets, text, whole, errors }
  })
  let last = 0
  for (const one of offsets) {
    const [first, end] = one.split(' ').map(offset => Number(offset.split('-')[1])) as [number, number]
    if (first !== last + 1) return void t.fail(`${name}: ${first} came after ${last}`)
    last = end
  }
  t.ok(text.length > COUNT, `${name}: ${text.length} characters`)
  t.equal(
    text,
    whole,
    `${name}: each event once and in order${errors.length ? ` (${errors.join(', ')})` : ''}`,
  )
}

const start = (page: Page, sessionId = 'room') =>
  page.evaluate(
    ([sessionId, count]) =>
      reading.client
        .session(sessionId)
        .run('playback', { count, rate: 300 })
        .started.then(() => {}),
    [sessionId, COUNT] as const,
  )

t.test('tabs share', { skip }, async t => {
  t.teardown(closeBrowser)
  const url = await serve(t)

  for (const transport of ['sse', 'websocket'] as const) {
    t.test(`${transport}: eight tabs have one connection, and go on when the leader closes`, async t => {
      const url = await serve(t)
      const context = await profile(t)
      const tabs: Tab[] = []
      for (let i = 0; i < TABS; i += 1) tabs.push(await tab(t, url, context, transport, 'room'))
      for (const { page } of tabs) await until(page, 'reading.live')
      const opened = () => tabs.map(({ seen }) => seen.streams + seen.sockets)
      t.equal(
        opened().reduce((a, b) => a + b),
        1,
        `one connection: ${opened()}`,
      )
      await start(tabs[3]!.page)
      const [leader] = tabs.splice(opened().indexOf(1), 1)
      for (const { page } of tabs) await until(page, 'reading.offsets.length > 50')
      await leader!.page.close()
      for (const [i, { page }] of tabs.entries()) await complete(t, page, `tab ${i}`)
      t.equal(
        opened().reduce((a, b) => a + b),
        1,
        `one connection again: ${opened()}`,
      )
    })

    t.test(`${transport}: a frozen leader is replaced, and catches up when it wakes`, async t => {
      const url = await serve(t)
      const context = await profile(t)
      const tabs: Tab[] = []
      for (let i = 0; i < 3; i += 1) tabs.push(await tab(t, url, context, transport, 'room'))
      for (const { page } of tabs) await until(page, 'reading.live')
      await start(tabs[0]!.page)
      const leader = tabs.find(({ seen }) => seen.streams + seen.sockets === 1)!
      const cdp = await context.newCDPSession(leader.page)
      await until(leader.page, 'reading.offsets.length > 50')
      await cdp.send('Page.setWebLifecycleState', { state: 'frozen' })
      for (const one of tabs) if (one !== leader) await complete(t, one.page, 'another tab')
      await cdp.send('Page.setWebLifecycleState', { state: 'active' })
      await complete(t, leader.page, 'the leader')
    })
  }

  t.test('eight tabs of the page at / load over HTTP/1.1, and answer on both rails', async t => {
    await buildPage()
    const context = await profile(t)
    const pages: Page[] = []
    for (let i = 0; i < TABS; i += 1) pages.push(await openTab(t, context, url))
    for (const page of pages) await ask(page, 'playback', { count: 50, rate: 100 })
    for (const [i, page] of pages.entries()) {
      const [left, right] = await Promise.all([answerOn(page, 'A'), answerOn(page, 'B')])
      t.ok(left.length > 100, `tab ${i}`)
      t.equal(left, right, `tab ${i}: the same on both rails`)
    }
  })

  t.test('a leader whose page hangs is replaced, and catches up afterwards', async t => {
    const url = await serve(t)
    const context = await profile(t)
    const tabs: Tab[] = []
    for (let i = 0; i < 3; i += 1) tabs.push(await tab(t, url, context, 'sse', 'room'))
    for (const { page } of tabs) await until(page, 'reading.live')
    await start(tabs[1]!.page)
    await until(tabs[0]!.page, 'reading.offsets.length > 50')
    const hanging = tabs[0]!.page.evaluate(() => {
      for (const began = Date.now(); Date.now() - began < 15_000; );
    })
    await complete(t, tabs[1]!.page, 'another tab')
    await complete(t, tabs[2]!.page, 'another tab')
    t.equal(tabs[1]!.seen.streams + tabs[2]!.seen.streams, 1, 'one of the others took its place')
    await hanging
    await complete(t, tabs[0]!.page, 'the leader')
  })

  t.test('sse: eight tabs with eight sessions get their answers', async t => {
    const context = await profile(t)
    const tabs: Tab[] = []
    for (let i = 0; i < TABS; i += 1) {
      const one = await tab(t, url, context, 'sse', `own-${i}`)
      await one.page.evaluate(id => Object.assign(globalThis, { sessionId: id }), `own-${i}`)
      tabs.push(one)
      await until(one.page, 'reading.live')
    }
    for (const [i, { page }] of tabs.entries()) await start(page, `own-${i}`)
    for (const [i, { page }] of tabs.entries()) await complete(t, page, `tab ${i}`)
    const count = (what: 'streams' | 'sockets') => tabs.reduce((sum, { seen }) => sum + seen[what], 0)
    t.equal(count('streams'), 4)
    t.equal(count('sockets'), 1)
  })

  t.test('a tab that reads slowly holds up no other one, and loses nothing', async t => {
    const url = await serve(t)
    const context = await profile(t)
    const tabs: Tab[] = []
    for (let i = 0; i < 2; i += 1) tabs.push(await tab(t, url, context, 'sse', 'room'))
    for (const { page } of tabs) await until(page, 'reading.live')
    const [fast, slow] = tabs as [Tab, Tab]
    const cdp = await context.newCDPSession(slow.page)
    await cdp.send('Page.setWebLifecycleState', { state: 'frozen' })
    await fast.page.evaluate(() =>
      reading.client
        .session('room')
        .run('playback', { count: 200, rate: 0, bytes: 20_000 })
        .done.then(() => {}),
    )
    await complete(t, fast.page, 'the fast one')
    await cdp.send('Page.setWebLifecycleState', { state: 'active' })
    await complete(t, slow.page, 'the slow one')
  })
})
