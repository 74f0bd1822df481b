/** The example `chat` in a real browser: what a customer of the shop does. */
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { start } from '../../examples/chat/server.ts'
import { closeBrowser, open, openTab, profile, screens, skip } from '../browser/stage.ts'
import { calls, openAiServer, says, stops } from '../fixtures/openai-server.ts'
import { layoutShifts, overflow, pageOf, screenshot, smallTargets } from './stage.ts'

async function serve(t: Test, page: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const { url, close } = await start({ port: 0, page, env })
  t.teardown(close)
  return url
}

async function say(page: Page, text: string): Promise<void> {
  // Key by key: the field grows with what is typed, which is no shift of the layout after input.
  await page.getByLabel('Message').pressSequentially(text)
  await page.keyboard.press('Enter')
}

/** Waits until the newest answer is over. */
async function answered(page: Page): Promise<string> {
  await page.getByRole('button', { name: 'Stop' }).waitFor({ state: 'detached' })
  return (await page.locator('.assistant').last().textContent()) ?? ''
}

const approve = (page: Page) => page.getByRole('button', { name: 'Approve' })

t.test('the example chat', { skip }, async t => {
  t.teardown(closeBrowser)
  const folder = await pageOf(t, 'chat')

  t.test('a refund is looked up, approved, and made; two tabs show the same', async t => {
    const url = await serve(t, folder)
    const context = await profile(t)
    const page = await openTab(t, context, url)
    await page.getByRole('button', { name: 'Refund order 1042' }).click()
    await approve(page).waitFor()
    t.match(await page.locator('.tool').last().textContent(), /refund_order waits for your approval/)
    t.equal(await page.locator('.working').count(), 0, 'it waits for the user, and does not look busy')
    await screenshot(page, 'chat-approval')

    const other = await openTab(t, context, page.url())
    await approve(other).click()
    t.match(await answered(page), /Approved.*Done: €1,290 go back/)
    t.equal(await answered(other), await answered(page))
    t.match(await page.locator('.tool').last().textContent(), /refund_order done.*"status": "refunded"/s)

    await say(other, 'Refund it')
    await other.getByText('was refunded already').waitFor()
    await page.getByText('was refunded already').waitFor()
    t.match(await answered(page), /was refunded already/, 'it knows which order this is about')
  })

  t.test('a rejected refund is not made', async t => {
    const page = await open(t, await serve(t, folder))
    await say(page, 'Refund order 1043')
    await page.getByRole('button', { name: 'Reject' }).click()
    t.match(await answered(page), /Rejected.*not refunded anything/)
    t.match(await page.locator('.tool').last().textContent(), /refund_order rejected/)
    await say(page, 'Where is order 1043?')
    await page.getByText('Order 1043 is on its way').waitFor()
  })

  t.test('a reload goes on in the middle of an answer, and Stop ends it', async t => {
    const page = await open(t, await serve(t, folder))
    await say(page, 'Write a guide')
    await page.getByText('Three checks').waitFor()
    await page.reload()
    const shifts = await layoutShifts(page)
    const text = page.locator('.markdown').last()
    await text.waitFor()
    const before = (await text.textContent()) ?? ''
    t.match(before, /^A guide to bicycle care/, 'from its beginning')
    await page.locator('.markdown h4', { hasText: 'Every month' }).waitFor()
    t.ok(((await text.textContent()) ?? '').startsWith(before.trimEnd()), 'and it grows')
    t.same(await shifts(), [], 'nothing moves meanwhile')
    await page.getByRole('button', { name: 'Stop' }).click()
    await page.getByText('Stopped.').waitFor()
    t.match(await answered(page), /Stopped\.$/)
  })

  t.test('the transport is shown with its reasons, and changes in the middle of an answer', async t => {
    const page = await open(t, await serve(t, folder))
    const bar = page.locator('.transport-bar')
    await bar.locator('summary').click()
    t.match(await bar.textContent(), /SSE.*The client chose it:.*commands are rare/)
    await screenshot(page, 'chat-reasons')
    await bar.locator('summary').click()
    await say(page, 'Write a guide')
    await page.locator('.markdown').waitFor()
    for (const transport of ['websocket', 'long-poll', 'sse']) {
      await page.getByLabel('Transport').selectOption(transport)
      await page.locator(`.transport-bar[data-transport="${transport}"][data-state="open"]`).waitFor()
      if (transport === 'websocket') t.ok(await page.getByRole('button', { name: 'Stop' }).isVisible())
    }
    t.match(await bar.textContent(), /You chose it:/)
    await answered(page)
    const text = (await page.locator('.markdown').allInnerTexts()).join('\n')
    const whole = (await import('../../examples/chat/guide.ts')).guide.match(/[a-z]{5,}/gi) ?? []
    t.same(text.match(/[a-z]{5,}/gi), whole, 'no word is lost or repeated')
  })

  t.test('a failure can be tried again', async t => {
    const page = await open(t, await serve(t, folder))
    await say(page, 'Where is order 1077?')
    const failure = page.getByRole('alert')
    await failure.waitFor()
    t.match(await failure.textContent(), /The order system did not answer/)
    await screenshot(page, 'chat-failure')
    await failure.getByRole('button', { name: 'Try again' }).click()
    await page.locator('.markdown', { hasText: 'Order 1077 is packed' }).waitFor()
    t.match(await page.locator('.tool').last().textContent(), /Dynamo headlight/)
  })

  t.test('chats are listed, renamed and deleted', async t => {
    const url = await serve(t, folder)
    const context = await profile(t)
    const page = await openTab(t, context, url)
    const chats = page.getByRole('navigation', { name: 'Chats' })
    await say(page, 'Where is order 1042?')
    await answered(page)
    await chats.getByRole('button', { name: '+ New chat' }).click()
    await page.getByRole('heading', { name: 'What can I do' }).waitFor()
    await say(page, 'How long does shipping take?')
    t.match(await answered(page), /Shipping times.*bicycles take five/)
    t.equal(await page.getByRole('link', { name: 'Shipping times' }).getAttribute('href'), '/help/shipping')
    // Times in the list are exact to a second.
    await chats.locator('li:first-child .title', { hasText: 'How long' }).waitFor()
    t.equal(await chats.locator('.title').count(), 2)

    const other = await openTab(t, context, page.url())
    await chats.getByRole('button', { name: 'Change “How long does shipping take?”' }).click()
    await chats.getByRole('button', { name: 'Rename' }).click()
    await page.keyboard.type('Shipping')
    await page.keyboard.press('Enter')
    await chats.locator('.title', { hasText: /^Shipping$/ }).waitFor()
    await other.locator('nav .title', { hasText: /^Shipping$/ }).waitFor()
    t.pass('the other tab has the new title as well')

    await chats.getByRole('button', { name: 'Change “Shipping”' }).click()
    await chats.getByRole('button', { name: 'Delete' }).click()
    await chats.getByRole('button', { name: 'Delete for good' }).click()
    await page.getByRole('heading', { name: 'What can I do' }).waitFor()
    await other.getByText('This chat was deleted').waitFor()
    await chats.locator('.title', { hasText: 'Shipping' }).waitFor({ state: 'detached' })
    await chats.locator('.title', { hasText: 'Where is order 1042?' }).click()
    await page.locator('.markdown', { hasText: 'Order 1042' }).waitFor()
  })

  t.test('text of a user or of the model is never markup', async t => {
    const attack =
      '<img src=x onerror="document.title=1"> [link](javascript:alert) <script>document.title=1</script>'
    const model = await openAiServer([{ chunks: [...says(attack), ...stops()] }], 1)
    t.teardown(() => model.close())
    const env = { OPENAI_BASE_URL: model.baseURL, OPENAI_MODEL: 'scripted' }
    const page = await open(t, await serve(t, folder, env))
    await say(page, attack)
    t.match(await answered(page), /<img src=x onerror=.* link <script>/)
    t.equal(await page.locator('.messages :is(img, script, a)').count(), 0)
    t.equal(await page.title(), 'Chat · Twinrail')
  })

  t.test('a model of the environment uses the same tools, and asks as well', async t => {
    const model = await openAiServer(
      [
        { chunks: [...calls(0, 'c1', 'refund_order', '{"orderId":', '"1043"}'), ...stops('tool_calls')] },
        { chunks: [...says('**Refunded**', '.'), ...stops()] },
      ],
      1,
    )
    t.teardown(() => model.close())
    const env = { OPENAI_BASE_URL: model.baseURL, OPENAI_MODEL: 'scripted' }
    const page = await open(t, await serve(t, folder, env))
    await page.getByText('Model scripted').waitFor()
    await say(page, 'My panniers are broken')
    await approve(page).click()
    t.match(await answered(page), /refund_order done.*Refunded\./s)
    t.equal(await page.locator('.markdown strong').textContent(), 'Refunded')
    const results = model.requests[1]?.body.messages.filter(({ role }) => role === 'tool')
    t.match(JSON.stringify(results), /Waterproof pannier.*refunded/)
    await t.rejects(start({ port: 0, page: folder, env: { OPENAI_API_KEY: 'k' } }), /Set OPENAI_MODEL/)
  })

  t.test('it fits a desk and a phone, light and dark', async t => {
    const url = await serve(t, folder)
    for (const { name, width, height, dark } of screens) {
      const page = await open(t, url, { width, height, dark })
      const shot = (what: string) => screenshot(page, `chat-${name}-${dark ? 'dark' : 'light'}-${what}`)
      await page.getByRole('heading', { name: 'What can I do' }).waitFor()
      await shot('empty')
      const shifts = await layoutShifts(page)
      await say(page, 'How long does shipping take?')
      await answered(page)
      await say(page, 'Refund order 1043')
      await approve(page).waitFor()
      t.same(await smallTargets(page), [], `${name}: a finger hits everything`)
      t.same(await shifts(), [], `${name}: nothing moves`)
      t.equal(await overflow(page), 0, `${name}: nothing is cut off`)
      await shot('asks')
      await page.getByRole('button', { name: 'Reject' }).click()
      await answered(page)
      if (name === 'phone') {
        await page.getByRole('button', { name: 'Chats' }).click()
        await page.getByRole('button', { name: '+ New chat' }).waitFor()
        await shot('list')
      }
    }
  })
})
