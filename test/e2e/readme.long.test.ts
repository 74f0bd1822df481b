/** README's snippets, as a reader types them into an empty folder. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createServer as createVite } from 'vite'
import { closeBrowser, open, skip } from '../browser/stage.ts'
import { emptyFolder, install, pack } from '../fixtures/packed.ts'
import { freePort } from '../fixtures/redis-server.ts'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

/** A section of README up to the next one. */
function section(heading: string): string {
  const found = readme.split(/^## /m).find(part => part.startsWith(`${heading}\n`))
  if (!found) throw new Error(`README.md has no section ${heading}`)
  return found
}

/** The blocks of code of a language in a section, in their order. */
const blocks = (heading: string, language: string) =>
  [...section(heading).matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(
    ([, code]) => code!,
  )

/** The file name that a section gives a snippet. */
function named(heading: string, file: string): string {
  if (!section(heading).includes(`Save this as \`${file}\``)) throw new Error(`${heading} names no ${file}`)
  return file
}

const [serverCode = ''] = blocks('A server of your own', 'ts')
const [clientCode = ''] = blocks('A client', 'ts')
const [pageCode = ''] = blocks('A client', 'tsx')
const [, prepare = '', installing = ''] = blocks('A server of your own', 'sh')[0]?.split('\n') ?? []
const toInstall =
  /^npm install \.\/twinrail-\*\.tgz ((?:[\w@/-]+ ?)+)$/.exec(installing)?.[1]?.split(' ') ?? []

const { NODE_OPTIONS: _, ...env } = process.env

/** Runs a file of the folder as `npx tsx` does. */
function tsx(t: Test, folder: string, file: string): ChildProcess {
  const { resolve } = createRequire(join(folder, 'package.json'))
  const child = spawn(process.execPath, [resolve('tsx/cli'), file], { cwd: folder, env })
  t.teardown(async () => {
    if (child.exitCode !== null) return
    child.kill('SIGTERM')
    await once(child, 'close')
  })
  return child
}

/** Everything that a process writes, until `enough` says so or it ends. */
async function output(child: ChildProcess, enough = (_text: string) => false): Promise<string> {
  let text = ''
  await new Promise<void>(resolve => {
    const take = (data: Buffer) => {
      text += data
      if (enough(text)) resolve()
    }
    child.stdout?.on('data', take)
    child.stderr?.on('data', take)
    child.once('close', () => resolve())
  })
  return text
}

t.test('README’s server, client and React page work in an empty folder', async t => {
  const folder = emptyFolder(t)
  const tarballs = [pack(t, 'twinrail', folder), pack(t, 'twinrail-client', folder)]
  const inFolder = /^cd \.\.\/hello && (npm init -y && npm pkg set type=module)$/.exec(prepare)?.[1]
  execFileSync('sh', ['-ec', inFolder as string], { cwd: folder, env, stdio: 'pipe' })
  t.strictSame(toInstall, ['zod', 'tsx'])
  install(folder, tarballs, toInstall)

  // Somebody's server may listen on README's port: the port is the one thing that differs here.
  const port = String(await freePort())
  const save = (file: string, code: string) => {
    if (!code.includes('8787')) throw new Error(`${file} has no port 8787`)
    writeFileSync(join(folder, file), code.replaceAll('8787', port))
    return file
  }

  const server = tsx(t, folder, save(named('A server of your own', 'server.ts'), serverCode))
  const said = await output(server, text => text.includes('\n'))
  t.equal(said, `http://127.0.0.1:${port}\n`, 'the server says where it listens')

  const client = await output(tsx(t, folder, save(named('A client', 'client.ts'), clientCode)))
  t.match(client, /^What is a cursor\? run\.completed (sse|websocket|long-poll)\n$/)

  t.test('the React page, in Vite and Chromium', { skip }, async t => {
    t.teardown(closeBrowser)
    const page = join(folder, 'page')
    mkdirSync(join(page, 'src'), { recursive: true })
    install(page, [`../${tarballs[1]}`], ['react', 'react-dom'])
    save(`page/${named('A client', 'src/App.tsx')}`, pageCode)
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
    // The answer of the client above is in the session's log.
    await answers.first().waitFor()
    await tab.getByRole('button', { name: 'Ask' }).click()
    // A question and an answer each.
    await answers.nth(3).waitFor()
    await tab.getByRole('button', { name: 'Ask' }).waitFor()
    t.same(refused, [], `a page of ${new URL(address).origin} is refused nothing`)
  })
})
