/** The example `game` in a real browser: a player against the computer, two players, and those who watch. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { start } from '../../examples/game/server.ts'
import { closeBrowser, open, screens, skip } from '../browser/stage.ts'
import { layoutShifts, overflow, pageOf, screenshot, smallTargets } from './stage.ts'

async function serve(t: Test, page: string): Promise<string> {
  const { url, close } = await start({ port: 0, page })
  t.teardown(close)
  return url
}

const status = (page: Page, text: string | RegExp) => page.locator('.status', { hasText: text }).waitFor()

/** The discs of each column from the bottom, such as `ry` for red below yellow. */
const board = (page: Page) =>
  page.locator('.column').evaluateAll(columns =>
    columns.map(column =>
      [...column.querySelectorAll('.cell')]
        .reverse()
        .map(cell => cell.querySelector<HTMLElement>('.disc')?.dataset['colour']?.[0] ?? '')
        .join(''),
    ),
  )

const discs = async (page: Page, count: number) => {
  await page.waitForFunction(n => document.querySelectorAll('.cell .disc').length === n, count)
  return board(page)
}

/** Presses a column. It may be disabled: the server refuses the move then. */
const drop = (page: Page, column: number) =>
  page
    .locator('.column')
    .nth(column - 1)
    .click({ force: true })

async function sit(page: Page, name: string, button: string): Promise<void> {
  await page.getByLabel('Your name').fill(name)
  await page.getByRole('button', { name: button }).click()
}

/** `npm run example -- game`, with these options. */
async function run(t: Test, ...options: string[]): Promise<{ child: ChildProcess; url: string }> {
  const root = fileURLToPath(new URL('../../', import.meta.url))
  const args = ['--import=./test/loader/register.mjs', 'examples/run.ts', 'game', ...options]
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  for await (const line of createInterface(child.stdout)) {
    const [, url] = /ready at (http\S+)/.exec(line) ?? []
    if (url) return { child, url }
  }
  throw new Error('the example did not start')
}

t.test('the example game', { skip }, async t => {
  t.teardown(closeBrowser)
  const folder = await pageOf(t, 'game')

  t.test('the computer answers each move, and a reload goes on with the game', async t => {
    const page = await open(t, await serve(t, folder))
    await sit(page, 'Ann', 'Play the computer')
    await status(page, 'Your turn')
    await drop(page, 4)
    t.equal((await discs(page, 2))[3]?.[0], 'r')
    await status(page, 'Your turn')
    await page.locator('.column').nth(0).focus()
    await page.keyboard.press('ArrowLeft')
    await page.keyboard.press('Enter')
    const before = await discs(page, 4)
    t.equal(before[6]?.[0], 'r', 'the keyboard goes around the board')
    await page.reload()
    t.same(await discs(page, 4), before)
    await page.getByText('(you)').waitFor()
    await page.locator('.column').nth(0).focus()
    await page.keyboard.press('7')
    await discs(page, 6)
    await page.getByRole('button', { name: 'Give up' }).click()
    await page.getByRole('button', { name: 'Play the computer' }).waitFor()
    t.pass('and both seats are free again')
  })

  t.test('two play, a third watches; the server refuses what the rules forbid', async t => {
    const url = await serve(t, folder)
    const red = await open(t, url)
    await sit(red, 'Ann', 'Play a friend')
    const yellow = await open(t, red.url())
    await sit(yellow, 'Ben', 'Sit down as yellow')
    const spectator = await open(t, red.url())
    await status(red, 'Your turn')
    await status(spectator, 'Ann is to move')
    await spectator.getByText('1 spectator').waitFor()

    await drop(spectator, 1)
    await spectator.getByRole('alert').filter({ hasText: 'only players may move; you watch' }).waitFor()
    await drop(yellow, 1)
    await yellow.getByRole('alert').filter({ hasText: 'it is not your turn' }).waitFor()

    await red.locator('.column').nth(2).hover()
    await yellow.locator('.column').nth(2).locator('.ghost[data-colour="red"]').waitFor()
    t.pass('the others see where a player points')

    const pages = [red, yellow]
    const play = async (...columns: number[]) => {
      for (const column of columns) {
        const count = await red.locator('.cell .disc').count()
        await drop(pages[count % 2]!, column)
        for (const page of [red, yellow, spectator]) await discs(page, count + 1)
      }
    }
    await play(1, 1, 1, 1, 1, 1)
    await drop(red, 1)
    await red.getByRole('alert').filter({ hasText: 'column 1 is full' }).waitFor()
    await play(3, 7, 4, 7, 5, 7)
    t.equal(await red.locator('.disc[data-won]').count(), 0)
    await play(6)
    await status(red, 'You win!')
    for (const page of [yellow, spectator]) await status(page, 'Ann wins.')
    t.equal(await spectator.locator('.disc[data-won]').count(), 4)
    t.same(await board(spectator), await board(red))

    await spectator.getByLabel('Your name').waitFor({ state: 'detached' })
    await yellow.getByRole('button', { name: 'Rematch' }).click()
    await status(yellow, 'Your turn')
    t.same(await discs(red, 0), ['', '', '', '', '', '', ''], 'the other side begins')
    await drop(yellow, 4)
    t.equal((await discs(spectator, 1))[3], 'y')

    // Anybody may publish events; those of the table are the agent's alone.
    const forged = await spectator.evaluate(async () => {
      const session = location.hash.slice(1)
      const authorization = `Bearer ${sessionStorage.getItem('secret')}`
      const send = (command: object) =>
        fetch(`/v1/sessions/${session}/commands`, {
          method: 'POST',
          headers: { authorization, 'content-type': 'application/json' },
          body: JSON.stringify({ id: '1', ...command }),
        })
      const data = { game: 2, move: 2, seat: 'red', column: 0 }
      const answer = await send({ type: 'publish', event: { type: 'x.game.move', runId: 'table-1', data } })
      return answer.status
    })
    t.equal(forged, 200)
    await drop(red, 5)
    t.same(await discs(spectator, 2), ['', '', '', 'y', 'r', '', ''], 'the forged move is none')
  })

  t.test('a server that was killed goes on with the game when it is started again', async t => {
    const log = `lmdb:${t.testdir()}/log`
    const first = await run(t, '--port', '0', '--log', log)
    const page = await open(t, first.url)
    await sit(page, 'Ann', 'Play the computer')
    await status(page, 'Your turn')
    await drop(page, 4)
    const before = await discs(page, 2)
    first.child.kill('SIGKILL')
    await once(first.child, 'close')
    await page.locator('.transport-bar:not([data-state="open"])').waitFor()

    await run(t, '--port', new URL(first.url).port, '--log', log)
    await page.locator('.transport-bar[data-state="open"]').waitFor()
    t.same(await board(page), before)
    await status(page, 'Your turn')
    await drop(page, 1)
    t.equal((await discs(page, 4))[0]?.[0], 'r', 'the table answers as before')
  })

  t.test('the transport is shown with its reasons, and changes during a game', async t => {
    const page = await open(t, await serve(t, folder))
    const bar = page.locator('.transport-bar')
    await page.locator('.transport-bar[data-transport="websocket"][data-state="open"]').waitFor()
    await bar.locator('summary').click()
    t.match(await bar.textContent(), /20 commands per second are cheaper on one socket/)
    await screenshot(page, 'game-reasons')
    await bar.locator('summary').click()
    await sit(page, 'Ann', 'Play the computer')
    let count = 0
    for (const transport of ['sse', 'long-poll', 'websocket']) {
      await page.getByLabel('Transport').selectOption(transport)
      await page.locator(`.transport-bar[data-transport="${transport}"][data-state="open"]`).waitFor()
      await status(page, 'Your turn')
      await drop(page, 2 + count)
      count += 2
      await discs(page, count)
    }
    t.pass('each move has its answer')
  })

  t.test('it fits a desk and a phone, light and dark', async t => {
    const url = await serve(t, folder)
    for (const { name, width, height, dark } of screens) {
      const page = await open(t, url, { width, height, dark })
      await page.emulateMedia({ reducedMotion: 'reduce' })
      const shot = (what: string) => screenshot(page, `game-${name}-${dark ? 'dark' : 'light'}-${what}`)
      await page.getByRole('button', { name: 'Play the computer' }).waitFor()
      t.same(await smallTargets(page), [], `${name}: a finger hits everything`)
      await shot('free')
      await sit(page, 'Ann', 'Play the computer')
      await status(page, 'Your turn')
      const shifts = await layoutShifts(page)
      for (const column of [4, 3, 5]) {
        const count = await page.locator('.cell .disc').count()
        await drop(page, column)
        await discs(page, count + 2)
        await status(page, 'Your turn')
      }
      t.same(await smallTargets(page), [])
      t.same(await shifts(), [], `${name}: nothing moves`)
      t.equal(await overflow(page), 0, `${name}: nothing is cut off`)
      t.equal(
        await page
          .locator('.cell .disc')
          .first()
          .evaluate(disc => getComputedStyle(disc).animationName),
        'none',
        'no motion for those who want none',
      )
      await shot('play')
    }
  })
})
