import { readFile } from 'node:fs/promises'
import t from 'tap'

const read = (name: string) => readFile(new URL(`../../client/page/${name}`, import.meta.url), 'utf8')
const [html, js, css] = await Promise.all([read('index.html'), read('page.js'), read('page.css')])

t.test('works under default-src self: nothing inline, nothing from elsewhere', async t => {
  t.notMatch(html, /<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)/)
  const sources = [...html.matchAll(/<(?:script|link|img)[^>]*\s(?:src|href)="([^"]+)"/g)].map(
    match => match[1],
  )
  t.same(sources, ['/page.css', '/page.js'])
  t.notMatch(css, /url\(|@import/)
  t.notMatch(js, /^import\b|\bimport\(/m)
})

t.test('makes text nodes of what agents say', async t => {
  t.notMatch(js, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b/)
})

t.test('finds every element that it asks for', async t => {
  const ids = [...js.matchAll(/'#?([\w-]+)'/g)].map(match => match[1]!)
  const used = new Set(ids.filter(id => js.includes(`find('#${id}')`) || js.includes(`stamp('${id}')`)))
  t.ok(used.size > 10)
  for (const id of used) t.match(html, `id="${id}"`)
})

t.test('stays small', async t => {
  t.ok(js.split('\n').length <= 401)
})
