/** Authorization in a real browser: tickets, renewal in the middle of an answer, another origin, cookies. */
import { SignJWT } from 'jose'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { jwtAuthorize, TwinrailError } from '../../src/index.ts'
import { clientPage, closeBrowser, serve, skip, useWholeBrowser } from './stage.ts'

useWholeBrowser()

declare global {
  var newToken: () => Promise<string>
}

const SECRET = 'a secret of tests that is long enough'
const authorize = jwtAuthorize({ secret: SECRET })

/** A page whose `newToken` gives a token of Ann, the first one for `firstSeconds`; and the URLs that it asked for. */
async function tokenPage(t: Test, url: string, firstSeconds = 600) {
  const page = await clientPage(t, url)
  const urls: string[] = []
  const tokens: string[] = []
  page.on('request', request => urls.push(request.url()))
  page.on('websocket', socket => urls.push(socket.url()))
  await page.exposeFunction('newToken', async () => {
    const exp = Math.floor(Date.now() / 1000) + (tokens.length === 0 ? firstSeconds : 600)
    const jwt = new SignJWT({ sub: 'ann', exp, jti: String(tokens.length) })
    tokens.push(await jwt.setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(SECRET)))
    return tokens.at(-1)
  })
  return { page, urls, tokens }
}

/** Runs an answer of 600 events in six seconds and follows it. */
const answer = (page: Page, url: string, transport: 'sse' | 'websocket' | 'long-poll', asks = true) =>
  page.evaluate(
    async ([url, transport, asks]) => {
      const client = twinrail.createClient({ url, transport, ...(asks && { auth: () => newToken() }) })
      const session = client.session()
      const run = session.run('playback', { count: 600, rate: 100 })
      await run.started
      const errors: string[] = []
      const seqs: number[] = []
      const onStatus = (status: { state: string; error?: unknown }) => {
        if (status.state === 'waiting') errors.push(String(status.error))
      }
      let last = ''
      for await (const event of session.events({ run: run.runId, replay: 'full', onStatus })) {
        if (!event.type.includes('.') || !('offset' in event)) continue
        seqs.push(Number(String(event.offset).split('-')[1]))
        last = event.type
      }
      client.close()
      return { seqs, last, errors }
    },
    [url, transport, asks] as const,
  )

function isWhole(t: Test, { seqs, last, errors }: Awaited<ReturnType<typeof answer>>): void {
  t.same(
    seqs,
    seqs.map((_, i) => seqs[0]! + i),
    'no gap and nothing twice',
  )
  t.ok(seqs.length >= 602)
  t.equal(last, 'run.completed')
  t.same(errors, [], 'no connection was lost')
}

t.test('authorization in Chromium', { skip }, async t => {
  t.teardown(closeBrowser)
  const other = await serve(t)
  const url = await serve(t, { authorize, origins: [other] })

  t.test('an EventSource and a WebSocket with a ticket', async t => {
    const { page, urls, tokens } = await tokenPage(t, url)
    const types = await page.evaluate(async () => {
      const client = twinrail.createClient({ url: location.origin, auth: () => newToken() })
      await client.session('s').create()
      await client.session('s').publish('x.note', 1)
      const { ticket } = await client.ticket({ sessionId: 's', allow: ['read'] })
      const source = new EventSource(`/v1/sessions/s/events?ticket=${ticket}`)
      const first = new Promise<string>(resolve => {
        source.onmessage = ({ data }) => resolve(JSON.parse(data).type)
      })
      const bySource = await first
      source.close()
      client.switchTransport('websocket')
      for await (const event of client.session('s').events()) {
        const type: string = event.type
        if (type === 'x.note') return [bySource, type]
      }
      return []
    })
    t.same(types, ['x.note', 'x.note'])
    t.equal(urls.filter(each => /\/ws\?ticket=/.test(each)).length, 1)
    for (const each of urls) for (const token of tokens) t.notOk(each.includes(token))
  })

  for (const transport of ['sse', 'websocket', 'long-poll'] as const) {
    t.test(`${transport}: the token is renewed in the middle of an answer`, async t => {
      const { page, tokens, urls } = await tokenPage(t, url, 4)
      isWhole(t, await answer(page, url, transport))
      t.equal(tokens.length, 2)
      if (transport === 'websocket') t.equal(urls.filter(each => each.includes('/ws')).length, 1)
    })

    t.test(`${transport}: a page on another origin`, async t => {
      const { page, tokens } = await tokenPage(t, other)
      isWhole(t, await answer(page, url, transport))
      t.equal(tokens.length, 1)
    })
  }

  t.test('a page with a cookie', async t => {
    const own = await serve(t, {
      authorize: ({ headers }) => {
        if (/(?:^|; )sid=ann(;|$)/.test(headers.cookie ?? '')) return { id: 'ann' }
        throw new TwinrailError('unauthorized', 'sign in first')
      },
    })
    const page = await clientPage(t, own)
    const signedOut = await answer(page, own, 'sse', false).catch(error => String(error))
    t.match(signedOut, /sign in first/)
    await page
      .context()
      .addCookies([{ name: 'sid', value: 'ann', url: own, httpOnly: true, sameSite: 'Strict' }])
    for (const transport of ['sse', 'websocket'] as const)
      isWhole(t, await answer(page, own, transport, false))
    const foreign = await clientPage(t, other)
    await foreign.context().addCookies([{ name: 'sid', value: 'ann', url: own, httpOnly: true }])
    t.match(
      await answer(foreign, own, 'sse', false).catch(error => String(error)),
      /sign in first/,
      'gets no cookie',
    )
  })

  t.test('a page of another origin that asks for cookies', async t => {
    const own = await serve(t, {
      origins: [other],
      authorize: ({ headers }) => {
        if (/(?:^|; )sid=ann(;|$)/.test(headers.cookie ?? '')) return { id: 'ann' }
        throw new TwinrailError('unauthorized', 'sign in first')
      },
    })
    const read = (page: Page, credentials?: 'include' | 'omit') =>
      page.evaluate(
        async ([url, credentials]) => {
          const client = twinrail.createClient({ url, transport: 'sse', credentials })
          const session = client.session()
          const types: string[] = []
          const run = session.run('playback', { count: 3, rate: 0 })
          await run.started
          for await (const event of run.events) types.push(event.type)
          await session.update({ title: 'Ships' })
          for (const transport of ['long-poll', 'sse'] as const) {
            client.switchTransport(transport)
            for await (const event of session.events()) if (event.type === 'caught-up') break
          }
          return types.findLast(type => type.includes('.'))
        },
        [own, credentials] as const,
      )
    const listed = await clientPage(t, other)
    await listed.context().addCookies([{ name: 'sid', value: 'ann', url: own, httpOnly: true }])
    t.equal(await read(listed, 'include'), 'run.completed')
    await t.rejects(read(listed), /sign in first/, 'without the option there are none')
    const same = await clientPage(t, own)
    await same.context().addCookies([{ name: 'sid', value: 'ann', url: own, httpOnly: true }])
    t.equal(await read(same), 'run.completed')
    await t.rejects(read(same, 'omit'), /sign in first/, 'and none on the own origin where they are omitted')
    const unlisted = await clientPage(t, await serve(t))
    await unlisted.context().addCookies([{ name: 'sid', value: 'ann', url: own, httpOnly: true }])
    await t.rejects(read(unlisted, 'include'), 'an origin that is not listed gets nothing')
  })
})
