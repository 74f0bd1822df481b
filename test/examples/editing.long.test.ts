/** The example `editing` in a real browser: people and the co-author write in one text at the same time. */
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { start } from '../../examples/editing/server.ts'
import { closeBrowser, open, screens, skip } from '../browser/stage.ts'
import { openAiServer, says, stops } from '../fixtures/openai-server.ts'
import { layoutShifts, overflow, pageOf, screenshot, smallTargets } from './stage.ts'

async function serve(t: Test, page: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const { url, close } = await start({ port: 0, page, env })
  t.teardown(close)
  return url
}

const editor = (page: Page) => page.getByRole('textbox', { name: 'Document' })

/** The lines of the document as the page shows them, without the names at cursors. */
const linesOf = (page: Page) =>
  page.locator('.cm-line').evaluateAll(lines =>
    lines.map(line => {
      const copy = line.cloneNode(true) as HTMLElement
      for (const cursor of copy.querySelectorAll('.cm-ySelectionCaret, .cm-placeholder')) cursor.remove()
      return copy.textContent ?? ''
    }),
  )

async function type(page: Page, text: string, where: 'start' | 'end' | 'here' = 'here'): Promise<void> {
  await editor(page).focus()
  if (where !== 'here') await page.keyboard.press(where === 'start' ? 'Control+Home' : 'Control+End')
  await page.keyboard.type(text, { delay: 5 })
}

const saved = (page: Page) => page.getByText('All changes are saved.').waitFor()

/** Waits until both pages show the same text, which has these words. */
async function same(t: Test, one: Page, other: Page, ...words: string[]): Promise<string> {
  for (const page of [one, other]) {
    await saved(page)
    for (const word of words) await page.locator('.cm-content', { hasText: word }).waitFor()
  }
  // Every update is in the log; the last may be on its way to the other page.
  for (;;) {
    const [left, right] = [await linesOf(one), await linesOf(other)]
    if (left.join('\n') === right.join('\n')) {
      t.pass('both pages have the same text')
      return left.join('\n')
    }
    await one.evaluate(() => new Promise(requestAnimationFrame))
  }
}

t.test('the example editing', { skip }, async t => {
  t.teardown(closeBrowser)
  const folder = await pageOf(t, 'editing')

  t.test('two people and the co-author write at the same time', async t => {
    const url = await serve(t, folder)
    const ann = await open(t, `${url}/#text`)
    const ben = await open(t, `${url}/#text`)
    await ann.getByText('(you)').waitFor()
    await ann.waitForFunction(() => document.querySelectorAll('.people li').length === 2)
    const paragraph =
      'A log keeps the events in their order. Every reader has a cursor in the log. A cursor says which event came last, so a reader goes on there.'
    await type(ann, paragraph)
    await same(t, ann, ben, 'goes on there.')
    await ben.locator('.cm-ySelectionInfo').waitFor({ state: 'attached' })
    t.pass('Ben sees the cursor of Ann')

    await ann.getByRole('button', { name: 'Continue' }).click()
    await ben.locator('.cm-content', { hasText: 'In short:' }).waitFor()
    await ben.locator('.people', { hasText: 'Co-author' }).waitFor()
    await ben.locator('.cm-ySelectionInfo', { hasText: 'Co-author' }).waitFor({ state: 'attached' })
    await Promise.all([type(ann, 'From Ann. ', 'start'), type(ben, 'From Ben: now. ', 'start')])
    await screenshot(ben, 'editing-three-write')
    for (const page of [ann, ben]) {
      await page.getByRole('button', { name: 'Continue' }).waitFor()
    }
    const text = await same(t, ann, ben, 'Questions that are still open:')
    t.ok(text.includes(paragraph), 'nothing of the paragraph is lost')
    const letters = (from: string) => [...from].sort().join('')
    const head = text.slice(0, text.indexOf(paragraph))
    t.equal(letters(head), letters('From Ann. From Ben: now. '), 'every key of both is there, once')
    t.match(text, /What would change without “\w+”\?$/)

    // What is typed with pauses, as on a slow machine, is taken back in several steps.
    const typed = ann.locator('.cm-content', { hasText: 'From Ann' })
    do await ann.keyboard.press('Control+z')
    while ((await typed.count()) > 0)
    const undone = await same(t, ann, ben, 'Ben')
    t.match(undone, /Questions that are still open/, 'undo takes back what is one’s own')
    await ann.getByRole('button', { name: 'Redo' }).click()

    const late = await open(t, `${url}/#text`)
    await same(t, ann, late, 'Questions that are still open:')
  })

  t.test('the co-author shortens the paragraph at the cursor, adds headings, and can be stopped', async t => {
    const page = await open(t, await serve(t, folder))
    await page.getByText('A text for several hands').waitFor()
    const before = (await linesOf(page)).join('\n')
    await editor(page).getByText('Open the page in a second window').click()
    await page.getByRole('button', { name: 'Shorten the paragraph' }).click()
    await page.getByText('The co-author is writing').waitFor()
    await page.getByRole('button', { name: 'Continue' }).waitFor()
    const shorter = (await linesOf(page)).join('\n')
    t.ok(shorter.length < before.length, `${before.length} letters became ${shorter.length}`)
    t.match(shorter, /Everybody who opens this page writes in the same text\./, 'the other paragraphs stay')

    await page.getByRole('button', { name: 'Add headings' }).click()
    await page.getByRole('button', { name: 'Continue' }).waitFor({ state: 'detached' })
    await page.getByRole('button', { name: 'Continue' }).waitFor()
    const headings = (await linesOf(page)).filter(line => line.startsWith('## '))
    t.equal(headings.length, 2, `the first paragraph has one: ${headings.join(', ')}`)

    await page.getByRole('button', { name: 'Continue' }).click()
    await page.locator('.cm-content', { hasText: 'In short:' }).waitFor()
    await page.getByRole('button', { name: 'Stop it' }).click()
    await page.getByRole('button', { name: 'Continue' }).waitFor()
    t.notMatch((await linesOf(page)).join('\n'), /Questions that are still open/)
  })

  t.test('a model of the environment writes', async t => {
    const model = await openAiServer([{ chunks: [...says('Written ', 'by a model.'), ...stops()] }], 1)
    t.teardown(() => model.close())
    const env = { OPENAI_BASE_URL: model.baseURL, OPENAI_MODEL: 'scripted' }
    const page = await open(t, await serve(t, folder, env))
    await page.getByText('A text for several hands').waitFor()
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.locator('.cm-content', { hasText: 'Written by a model.' }).waitFor()
    t.match(
      JSON.stringify(model.requests[0]?.body.messages),
      /A text for several hands/,
      'it has read the text',
    )
    await t.rejects(start({ port: 0, page: folder, env: { OPENAI_API_KEY: 'k' } }), /Set OPENAI_MODEL/)
  })

  t.test('the transport changes while somebody writes', async t => {
    const url = await serve(t, folder)
    const ann = await open(t, `${url}/#text`)
    const ben = await open(t, `${url}/#text`)
    const bar = ann.locator('.transport-bar')
    await ann.locator('.transport-bar[data-transport="websocket"][data-state="open"]').waitFor()
    await bar.locator('summary').click()
    t.match(await bar.textContent(), /11 commands per second are cheaper on one socket/)
    await screenshot(ann, 'editing-reasons')
    await bar.locator('summary').click()
    for (const transport of ['sse', 'long-poll', 'websocket']) {
      await ann.getByLabel('Transport').selectOption(transport)
      await Promise.all([type(ann, `A by ${transport}. `, 'start'), type(ben, `B by ${transport}. `, 'end')])
      await ann.locator(`.transport-bar[data-transport="${transport}"][data-state="open"]`).waitFor()
      await same(t, ann, ben, `A by ${transport}.`, `B by ${transport}.`)
    }
  })

  t.test('it fits a desk and a phone, light and dark', async t => {
    const url = await serve(t, folder)
    for (const { name, width, height, dark } of screens) {
      const page = await open(t, url, { width, height, dark })
      const shot = (what: string) => screenshot(page, `editing-${name}-${dark ? 'dark' : 'light'}-${what}`)
      await page.getByText('A text for several hands').waitFor()
      await saved(page)
      await editor(page).focus()
      await page.keyboard.press('Control+End')
      const shifts = await layoutShifts(page)
      t.same(await smallTargets(page), [], `${name}: a finger hits everything`)
      await shot('begin')
      await page.getByRole('button', { name: 'Continue' }).click()
      await page.locator('.cm-content', { hasText: 'In short:' }).waitFor()
      await page.getByText('The co-author is writing').waitFor()
      t.same(await smallTargets(page), [])
      await shot('co-author')
      await page.getByRole('button', { name: 'Stop it' }).click()
      await page.getByRole('button', { name: 'Continue' }).waitFor()
      const moved = (await shifts()).filter(shift => !/cm-|people/.test(shift))
      t.same(moved, [], `${name}: nothing but the text moves`)
      t.equal(await overflow(page), 0, `${name}: nothing is cut off`)
      await page.close()
    }
  })
})
