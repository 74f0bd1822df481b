/** The first snippets of README, of the client and of docs/pages.md, as a reader types them into an empty folder. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createServer as createVite } from 'vite'
import { closeBrowser, open, skip } from '../browser/stage.ts'
import { emptyFolder, install, pack } from '../fixtures/packed.ts'
import { output, program, userEnvironment } from '../fixtures/program.ts'
import { freePort } from '../fixtures/redis-server.ts'

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const readme = read('README.md')

/** The block of code that follows the first place where a document names a file to save it as. */
function saved(document: string, file: string): string {
  const [, after = ''] = document.split(new RegExp(`this as \`${file}\``))
  const code = /^```[a-z]+\n(.*?)^```/ms.exec(after)?.[1]
  if (code === undefined) throw new Error(`no code follows the name ${file}`)
  return code
}

const [wanted = ''] = /^npm install .+$/m.exec(readme) ?? []
const [, prepare = '', installing = ''] = /^mkdir \.\.\/hello .*\n(.*)\n(.*)$/m.exec(readme) ?? []

t.test('the snippets of README, of the client and of the page in React work in an empty folder', async t => {
  const folder = emptyFolder(t)
  const tarballs = [pack(t, 'twinrail', folder), pack(t, 'twinrail-client', folder)]
  t.equal(wanted, 'npm install twinrail zod')
  t.equal(prepare, 'cd ../hello && npm init -y')
  t.equal(installing, 'npm install ./twinrail-*.tgz zod')
  execFileSync('npm', ['init', '-y'], { cwd: folder, env: userEnvironment, stdio: 'pipe' })
  install(folder, tarballs, ['zod'])

  // Somebody's server may listen on README's port: the port is the one thing that differs here.
  const port = String(await freePort())
  const save = (document: string, file: string, target = file) => {
    const code = saved(document, file)
    writeFileSync(join(folder, target), code.replaceAll('8787', port))
    return code
  }
  const lines = [save(readme, 'server.mjs'), save(readme, 'page.html')].join('').split('\n')
  t.ok(lines.filter(line => line.trim() !== '').length <= 21, 'README’s server and page are short')
  save(read('client/README.md'), 'client.mjs')

  t.match(readme, 'Run `node server.mjs`')
  const began = performance.now()
  const server = program(t, folder, [process.execPath, 'server.mjs'])
  const said = await output(server, text => text.includes('\n'))
  t.equal(said, `http://127.0.0.1:${port}/page\n`, 'the server says where the page is')
  const page = await (await fetch(said.trim())).text()
  t.match(page, 'new EventSource')
  t.comment(`from the start of the server to the page: ${Math.round(performance.now() - began)} ms`)

  const client = await output(program(t, folder, [process.execPath, 'client.mjs']))
  t.match(client, /^What is a cursor\? run\.completed (sse|websocket|long-poll)\n$/)

  t.test('README’s page, in Chromium', { skip }, async t => {
    const tab = await open(t, said.trim())
    const answer = tab.locator('#answer')
    // The answer of the client above is in the session's log.
    await answer.getByText(/^What is a cursor\? $/).waitFor()
    await tab.getByRole('button', { name: 'Ask' }).click()
    await answer.getByText(/^What is a cursor\? What is a cursor\? $/).waitFor()
    await tab.reload()
    await answer.getByText(/^What is a cursor\? What is a cursor\? $/).waitFor()
  })

  t.test('the page in React, in Vite and Chromium', { skip }, async t => {
    t.teardown(closeBrowser)
    const page = join(folder, 'page')
    mkdirSync(join(page, 'src'), { recursive: true })
    install(page, [`../${tarballs[1]}`], ['react', 'react-dom'])
    save(read('docs/pages.md'), 'src/App.tsx', 'page/src/App.tsx')
    // The rest of what `npm create vite -- --template react-ts` makes, as far as it matters here.
    writeFileSync(join(page, 'package.json'), '{"private": true, "type": "module"}')
    writeFileSync(
      join(page, 'index.html'),
      '<!doctype html><link rel="icon" href="data:,"><div id="root"></div><script type="module" src="/src/main.tsx"></script>',
    )
    writeFileSync(
      join(page, 'src/main.tsx'),
      `import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import App from './App.tsx'
createRoot(document.getElementById('root')!).render(<StrictMode><App /></StrictMode>)`,
    )
    const vite = await createVite({
      root: page,
      configFile: false,
      logLevel: 'error',
      esbuild: { jsx: 'automatic' },
      server: { host: 'localhost' },
    })
    t.teardown(() => vite.close())
    await vite.listen()
    const address = vite.resolvedUrls?.local[0] as string
    const tab = await open(t, address)
    const refused: string[] = []
    tab.on('console', message => {
      if (message.type() === 'error') refused.push(message.text())
    })
    const answers = tab.getByText('What is a cursor?')
    // The answers above are in the session's log.
    await answers.first().waitFor()
    await tab.getByRole('button', { name: 'Ask' }).click()
    // A question and an answer each.
    await answers.nth(5).waitFor()
    await tab.getByRole('button', { name: 'Ask' }).waitFor()
    t.same(refused, [], `a page of ${new URL(address).origin} is refused nothing`)
  })
})
