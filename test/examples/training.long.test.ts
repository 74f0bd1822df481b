/** The example `training` in a real browser: curves while a network learns, and what one may do meanwhile. */
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { start } from '../../examples/training/server.ts'
import { closeBrowser, open, screens, skip } from '../browser/stage.ts'
import { layoutShifts, overflow, pageOf, screenshot, smallTargets } from './stage.ts'

async function serve(t: Test, page: string): Promise<string> {
  const { url, close } = await start({ port: 0, page })
  t.teardown(close)
  return url
}

const startTraining = (page: Page) => page.getByRole('button', { name: 'Start', exact: true }).click()

/** The step that the chosen training has reached. */
const stepOf = async (page: Page) =>
  Number(/step (\d+) of/.exec((await page.locator('aside').textContent()) ?? '')?.[1])

const pastStep = (page: Page, step: number) =>
  page.waitForFunction(
    least => Number(/step (\d+) of/.exec(document.querySelector('aside')?.textContent ?? '')?.[1]) > least,
    step,
  )

const status = (page: Page, number: number) =>
  page.locator('.runs button', { hasText: `Training ${number}` }).locator('.state')

/** All steps that the log has of the runs, by the server's own account. */
const stepsInLog = (page: Page) =>
  page.evaluate(async () => {
    const answer = await fetch('/v1/sessions/training/events?replay=full', {
      headers: { accept: 'application/json' },
    })
    const { events } = (await answer.json()) as { events: { type: string; data: { loss: number } }[] }
    return events.filter(({ type }) => type === 'x.training.step').map(({ data }) => data.loss)
  })

t.test('the example training', { skip }, async t => {
  t.teardown(closeBrowser)
  const folder = await pageOf(t, 'training')

  t.test('a training is watched, paused, changed and stopped from any page', async t => {
    const url = await serve(t, folder)
    const page = await open(t, url)
    await page.locator('.transport-bar[data-transport="sse"][data-state="open"]').waitFor()
    await startTraining(page)
    await pastStep(page, 25)
    await page.getByRole('img', { name: /learned of the two spirals after 20 steps/ }).waitFor()

    const late = await open(t, url)
    await late.getByText('2 watch').waitFor()
    await pastStep(late, 25)
    await late.getByRole('button', { name: 'Pause' }).click()
    await status(page, 1).filter({ hasText: 'paused' }).waitFor()
    await status(late, 1).filter({ hasText: 'paused' }).waitFor()
    const paused = await stepOf(page)
    t.equal(await stepOf(late), paused, 'who came late has every step')
    const losses = await stepsInLog(page)
    t.equal(losses.length, paused, 'as the log has')
    t.ok(losses.at(-1)! < losses[0]!, `and it learns: ${losses[0]} to ${losses.at(-1)}`)

    await page.reload()
    await page.getByText(`step ${paused} of`).waitFor()
    // The page shows it when the agent has taken it up.
    await page.locator('aside section').getByRole('radio', { name: '0.03' }).click({ force: true })
    await page.locator('.runs small', { hasText: 'rate 0.03' }).waitFor()
    await late.locator('.runs small', { hasText: 'rate 0.03' }).waitFor()
    t.equal(await stepOf(page), paused, 'a paused training takes no step')
    await late.getByRole('button', { name: 'Resume' }).click()
    await pastStep(page, paused + 5)
    await late.getByRole('button', { name: 'Stop' }).click()
    await status(page, 1).filter({ hasText: 'cancelled' }).waitFor()
    t.equal(await page.getByRole('button', { name: 'Pause' }).count(), 0)
  })

  t.test('the transport changes during a training, and no step is lost', async t => {
    const page = await open(t, await serve(t, folder))
    const bar = page.locator('.transport-bar')
    await bar.locator('summary').click()
    t.match(await bar.textContent(), /commands are rare and most proxies pass SSE/)
    await screenshot(page, 'training-reasons')
    await bar.locator('summary').click()
    await startTraining(page)
    for (const transport of ['websocket', 'long-poll', 'sse']) {
      await page.getByLabel('Transport').selectOption(transport)
      await page.locator(`.transport-bar[data-transport="${transport}"][data-state="open"]`).waitFor()
      await pastStep(page, (await stepOf(page)) + 10)
    }
    await page.getByRole('button', { name: 'Pause' }).click()
    await status(page, 1).filter({ hasText: 'paused' }).waitFor()
    t.equal(await stepOf(page), (await stepsInLog(page)).length)
  })

  t.test('it fits a desk and a phone, light and dark', async t => {
    const url = await serve(t, folder)
    for (const { name, width, height, dark } of screens) {
      const page = await open(t, url, { width, height, dark })
      const shot = async (what: string) => {
        await screenshot(page, `training-${name}-${dark ? 'dark' : 'light'}-${what}`)
        if (name !== 'phone') return
        await page.locator('aside').scrollIntoViewIfNeeded()
        await page.evaluate(() => document.querySelector('aside')?.scrollIntoView())
        await screenshot(page, `training-${name}-${dark ? 'dark' : 'light'}-${what}-below`)
      }
      await page.getByRole('button', { name: 'Start', exact: true }).waitFor()
      if (!dark && name === 'desk') await shot('empty')
      // The second training learns with another rate.
      const rate = dark ? '0.1' : '0.003'
      await page.locator('form').getByRole('radio', { name: rate, exact: true }).check({ force: true })
      await page.getByLabel('Seed').fill('7')
      await startTraining(page)
      await pastStep(page, 3)
      const shifts = await layoutShifts(page)
      await pastStep(page, 42)
      t.same(await shifts(), [], `${name}: nothing moves`)
      t.same(await smallTargets(page), [], `${name}: a finger hits everything`)
      t.equal(await overflow(page), 0, `${name}: nothing is cut off`)
      await shot('trains')
      await page.getByRole('button', { name: 'Stop' }).click()
      await page.getByRole('button', { name: 'Stop' }).waitFor({ state: 'detached' })
      await page.close()
    }
  })
})
