/** The example `documents` in a real browser, and its analysis. */
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { languageOf, sectionsOf, sentencesOf, summaryOf, termsOf } from '../../examples/documents/analyse.ts'
import { MAX_CHARS } from '../../examples/documents/events.ts'
import { start } from '../../examples/documents/server.ts'
import { closeBrowser, open, openTab, profile, screens, skip } from '../browser/stage.ts'
import { layoutShifts, overflow, pageOf, screenshot, smallTargets } from './stage.ts'

const sentences = (name: string, text: string) =>
  sectionsOf(name, text).flatMap((section, i) => [...sentencesOf(section, i, languageOf(text))])

t.test('the analysis', async t => {
  t.test('Markdown is split at its headings, and its signs are left out', async t => {
    const text =
      '# One\n\nA **bold** [link](https://x.org) and `code`.\n\n```\n# no heading\n```\n\n## Two\n\n- item\n'
    t.same(sectionsOf('x.md', text), [
      { heading: 'One', text: 'A bold link and code.' },
      { heading: 'Two', text: 'item' },
    ])
  })

  t.test('a text without headings is split into groups of paragraphs', async t => {
    const paragraph = 'Some words. '.repeat(60).trim()
    const sections = sectionsOf('x.txt', Array(5).fill(paragraph).join('\n\n'))
    t.same(
      sections.map(({ heading }) => heading),
      ['Part 1', 'Part 2', 'Part 3'],
    )
    t.same(sectionsOf('x.txt', 'Short.'), [{ heading: 'Text', text: 'Short.' }])
  })

  t.test('the terms are those that are frequent and not everywhere; plurals count as one word', async t => {
    const text =
      '# A\n\nThe lock opens. Two locks close. Water is near.\n\n# B\n\nWater is deep. A pilot comes.\n\n# C\n\nWater is cold.'
    const terms = termsOf(sentences('x.md', text), 3)
    t.same(
      terms.map(({ term, count }) => [term, count]),
      [
        ['lock', 2],
        ['water', 3],
        ['close', 1],
      ],
    )
  })

  t.test('Chinese is split into words and sentences', async t => {
    const text = '# 茶\n\n绿茶不发酵。红茶完全发酵，茶水呈红色。绿茶的嫩叶怕烫，水温以八十度为宜。'
    t.equal(languageOf(text), 'zh')
    const found = sentences('x.md', text)
    t.equal(found.length, 3)
    const terms = termsOf(found, 20)
    t.equal(terms.find(({ term }) => term === '发酵')?.count, 2)
    t.equal(terms.find(({ term }) => term === '绿茶')?.count, 2)
    t.same(
      summaryOf(found, terms, 1).map(({ text }) => text),
      ['红茶完全发酵，茶水呈红色。'],
    )
  })

  t.test('no text takes it long', async t => {
    for (const piece of [
      '*a ',
      '[',
      '# a  #',
      '\n',
      ' \n',
      '```\n',
      '~~~ ',
      '> ',
      '| ',
      '水是深的。',
      '水深',
      'a. ',
    ]) {
      const text = piece.repeat(MAX_CHARS / piece.length)
      const split = sentences('x.txt', text)
      summaryOf(split, termsOf(split, 100), 6)
      sectionsOf('x.md', text)
      sectionsOf('x.md', `# ${text}x`)
      t.pass(JSON.stringify(piece))
    }
  })

  t.test('the summary repeats nothing and keeps the order', async t => {
    const text = `# A\n\nThe deep harbour needs a pilot now. The deep harbour needs a pilot today. ${'A lock keeps water in the basin. '.repeat(2)}`
    const found = sentences('x.md', text)
    const summary = summaryOf(found, termsOf(found, 20), 4).map(({ text }) => text)
    t.same(summary, ['The deep harbour needs a pilot now.', 'A lock keeps water in the basin.'])
  })
})

async function serve(t: Test, page: string): Promise<string> {
  const { url, close } = await start({ port: 0, page })
  t.teardown(close)
  return url
}

const sample = (page: Page, name: string) => page.getByRole('button', { name, exact: true }).click()
/** Waits until all analyses that are shown are over. */
const finished = (page: Page, count = 1) =>
  page.waitForFunction(count => document.querySelectorAll('article a[download]').length === count, count)

t.test('the example documents', { skip }, async t => {
  t.teardown(closeBrowser)
  const folder = await pageOf(t, 'documents')

  t.test('a sample is analysed, and a reload goes on in its middle', async t => {
    const page = await open(t, await serve(t, folder))
    const shifts = await layoutShifts(page)
    await sample(page, 'Tides')
    await page.locator('.terms li').first().waitFor()
    await page.locator('.passages li').nth(1).waitFor()
    t.same(await shifts(), [], 'nothing moves while it streams in')
    await page.reload()
    await page.locator('.summary .cite').first().waitFor()
    const begun = (await page.locator('.summary p').textContent()) ?? ''
    await finished(page)
    const summary = (await page.locator('.summary p').textContent()) ?? ''
    t.ok(summary.startsWith(begun) && summary.length > begun.length, 'the summary goes on where it was')
    t.match(await page.locator('.facts').textContent(), /English · \d{3} words · \d+ sentences · 5 sections/)
    t.match(await page.locator('.terms').textContent(), /level.*range|range.*level/)
    t.same(
      await page
        .locator('.plan li')
        .evaluateAll(all => all.map(one => (one as HTMLElement).dataset['status'])),
      ['done', 'done', 'done', 'done', 'done'],
    )
    await page.locator('.cite').last().click()
    t.match(
      await page.evaluate(() => document.activeElement?.className || document.activeElement?.tagName),
      'LI',
    )
    const report = await page.locator('a[download]').getAttribute('href')
    t.match(decodeURIComponent(report ?? ''), /# tides\.md\n\n## Summary.*## Terms.*## Passages\n\n1\. /s)
  })

  t.test('two analyses are compared', async t => {
    const page = await open(t, await serve(t, folder))
    await sample(page, 'Tides')
    await finished(page)
    await sample(page, 'Harbours')
    await finished(page)
    await page.getByRole('button', { name: 'Compare tides.md' }).click()
    await finished(page, 2)
    const [left, both, right] = await page.locator('.comparison p').allTextContents()
    t.match(both, /water/)
    t.match(`${left} ${right}`, /tide.*pilot|pilot.*tide/)
    const common = both?.split(', ') ?? []
    t.notOk(
      common.some(term => `${left}, ${right}`.split(', ').includes(term)),
      'each term stands once',
    )
    const tops = await page
      .locator('.summary')
      .evaluateAll(all => all.map(one => one.getBoundingClientRect().top))
    t.equal(tops[0], tops[1], 'the summaries stand next to each other')
    await screenshot(page, 'documents-compared')
    await page.getByRole('button', { name: 'Compare tides.md' }).click()
    t.equal(await page.locator('article').count(), 1)
  })

  t.test('a file is chosen or dropped; what is no text, too long or empty is refused', async t => {
    const page = await open(t, await serve(t, folder))
    const field = page.locator('input[type=file]')
    const file = (name: string, text: string | Buffer, mimeType = 'text/plain') => ({
      name,
      mimeType,
      buffer: Buffer.from(text as string),
    })
    const problem = page.getByRole('alert')
    for (const [chosen, told] of [
      [file('a.png', 'x', 'image/png'), /a\.png is not a text/],
      [
        file('long.txt', 'x'.repeat(MAX_CHARS + 1)),
        /long\.txt is too long: 200,001 characters\. At most 200,000/,
      ],
      [file('big.txt', 'x'.repeat(3 * MAX_CHARS + 1)), /big\.txt is too long: 586 KiB/],
      [file('empty.md', ' \n'), /empty\.md is empty/],
      [file('latin.txt', Buffer.from([0xe4, 0xf6])), /latin\.txt is not UTF-8/],
    ] as const) {
      await field.setInputFiles(chosen)
      await problem.filter({ hasText: told }).waitFor()
    }
    t.equal(await page.locator('article').count(), 0)
    await field.setInputFiles(file('note.txt', 'A short note about a harbour. It has two sentences.'))
    await finished(page)
    t.equal(await problem.count(), 0)
    t.match(await page.locator('article h2').textContent(), 'note.txt')

    await page.evaluate(() => {
      const data = new DataTransfer()
      data.items.add(new File(['# Tea\n\nGreen tea is not fermented.'], 'tea notes.md'))
      for (const type of ['dragover', 'drop'])
        document.body.dispatchEvent(
          new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }),
        )
    })
    await page.getByRole('heading', { name: 'tea notes.md' }).waitFor()
    await finished(page)
    // As long as it may be.
    await field.setInputFiles(file('limit.txt', '水是深的。'.repeat(MAX_CHARS / 5)))
    await page.getByRole('heading', { name: 'limit.txt' }).waitFor()
    await finished(page)
    t.match(await page.locator('.facts').textContent(), /Chinese/)
  })

  t.test('a second tab shows the same, also after the transport has changed in the middle', async t => {
    const context = await profile(t)
    const page = await openTab(t, context, await serve(t, folder))
    await sample(page, '茶的故事')
    await page.locator('.terms li').first().waitFor()
    const other = await openTab(t, context, page.url())
    await page.getByLabel('Transport').selectOption('websocket')
    await other.getByLabel('Transport').selectOption('long-poll')
    await Promise.all([finished(page), finished(other)])
    t.equal(await other.locator('article').textContent(), await page.locator('article').textContent())
    t.match(await page.locator('.terms').textContent(), /茶叶/)
  })

  t.test('Stop ends an analysis, and the keyboard alone starts one', async t => {
    const page = await open(t, await serve(t, folder))
    await page.getByRole('button', { name: 'Tides', exact: true }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'Stop' }).press('Enter')
    await page.getByText('Stopped.').waitFor()
    t.match(await page.getByRole('navigation', { name: 'Analyses' }).textContent(), /tides\.md stopped/)
  })

  t.test('it fits a desk and a phone, light and dark', async t => {
    const url = await serve(t, folder)
    for (const { name, width, height, dark } of screens) {
      const page = await open(t, url, { width, height, dark })
      const shot = (what: string) => screenshot(page, `documents-${name}-${dark ? 'dark' : 'light'}-${what}`)
      await page.locator('.hint').waitFor()
      await shot('empty')
      await sample(page, 'Harbours')
      await page.locator('.passages li').first().waitFor()
      const shifts = await layoutShifts(page)
      await page.locator('.summary .cite').first().waitFor()
      await shot('streams')
      await finished(page)
      t.same(await shifts(), [], `${name}: nothing moves`)
      t.same(
        (await smallTargets(page)).filter(target => !target.includes('class="cite"')),
        [],
        `${name}: a finger hits everything`,
      )
      t.equal(await overflow(page), 0, `${name}: nothing is cut off`)
      await page.locator('article').scrollIntoViewIfNeeded()
      await sample(page, '茶的故事')
      await finished(page)
      await page.getByRole('button', { name: 'Compare harbours.md' }).click()
      await finished(page, 2)
      t.equal(await overflow(page), 0, `${name}: nothing is cut off beside another one`)
      await page.locator('.comparison').scrollIntoViewIfNeeded()
      await shot('compared')
    }
  })
})
