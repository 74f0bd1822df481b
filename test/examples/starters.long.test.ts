/** The starters of `examples/starters/`, installed with the packed packages and followed by what follows them. */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { createClient } from '../../client/index.ts'
import { closeBrowser, skip as noBrowser, open } from '../browser/stage.ts'
import { openAiServer, says, stops } from '../fixtures/openai-server.ts'
import { emptyFolder, packWithTypes } from '../fixtures/packed.ts'
import { addressOf, program, userEnvironment } from '../fixtures/program.ts'
import { freePort } from '../fixtures/redis-server.ts'

const starters = new URL('../../examples/starters/', import.meta.url).pathname

/** Starters take their other packages from the registry that npm is set to. */
async function whyNoRegistry(): Promise<string | false> {
  const registry = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim()
  try {
    await fetch(`${registry.replace(/\/$/, '')}/zod/latest`)
    return false
  } catch {
    return `the registry ${registry} cannot be reached`
  }
}

/** Sources of a starter that its author wrote. */
function ownCode(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    file => /\.(tsx?|mjs|html)$/.test(file) && !/node_modules|\.next|next-env/.test(file),
  )
}

const skip = await whyNoRegistry()

t.test('starters are short', async t => {
  t.same(readdirSync(starters).sort(), ['express', 'html', 'next', 'vite-react'])
  for (const name of readdirSync(starters)) {
    for (const file of ownCode(join(starters, name))) {
      const lines = readFileSync(join(starters, name, file), 'utf8').split('\n').length
      t.ok(lines <= 60, `${name}/${file} has ${lines} lines`)
    }
    t.ok(readFileSync(join(starters, name, 'README.md'), 'utf8').split('\n').length <= 7, `${name}/README.md`)
  }
})

t.test('starters, installed', { skip, buffered: false }, async t => {
  t.teardown(closeBrowser)
  const tarballs = emptyFolder(t)
  const files = {
    twinrail: join(tarballs, packWithTypes(t, 'twinrail', tarballs)),
    'twinrail-client': join(tarballs, packWithTypes(t, 'twinrail-client', tarballs)),
  }

  /** Copies a starter and installs it as its README says, with the packed files in place of the two packages. */
  function starter(t: Test, name: string): string {
    const folder = emptyFolder(t)
    cpSync(join(starters, name), folder, { recursive: true, filter: path => !path.includes('node_modules') })
    const { dependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    const packed = Object.entries(files).flatMap(([name, file]) => (name in dependencies ? [file] : []))
    // Scripts of packages only fetch binaries that are optional dependencies as well.
    const options = ['--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline', '--loglevel=error']
    const env = userEnvironment
    execFileSync('npm', ['install', ...options, ...packed], { cwd: folder, env, stdio: 'pipe' })
    if (existsSync(join(folder, 'tsconfig.json')) && name !== 'next') {
      execFileSync('npx', ['tsc'], { cwd: folder, env, stdio: 'pipe' })
      t.pass('its types are right')
    }
    return folder
  }

  t.test('html: a page with EventSource', async t => {
    const folder = starter(t, 'html')
    const page = await addressOf(program(t, folder, [process.execPath, 'server.mjs'], { PORT: '0' }))
    t.match(await (await fetch(page)).text(), 'create=1')
    t.test('in Chromium', { skip: noBrowser }, async t => {
      const tab = await open(t, page)
      await tab.getByRole('button', { name: 'Ask' }).click()
      await tab.locator('#answer').getByText('What is a cursor?').waitFor()
      await tab.reload()
      await tab.locator('#answer').getByText('What is a cursor?').waitFor()
    })
  })

  t.test('express: an answer on every transport, below the prefix', async t => {
    const folder = starter(t, 'express')
    const server = program(t, folder, [process.execPath, 'node_modules/tsx/dist/cli.mjs', 'server.ts'], {
      PORT: '0',
    })
    const app = await addressOf(server)
    t.match(await (await fetch(app)).text(), '/rt/', 'the app answers as well')
    for (const transport of ['sse', 'websocket', 'long-poll'] as const) {
      const client = createClient({ url: `${app}rt`, transport, WebSocket })
      const run = client.session('demo').run('echo', { query: 'What is a cursor?' })
      let text = ''
      for await (const delta of run.text) text += delta
      t.equal(`${text} ${(await run.done).type}`, 'What is a cursor?  run.completed', transport)
      client.close()
    }
  })

  t.test('vite-react: a chat through Vite', async t => {
    const folder = starter(t, 'vite-react')
    const node = process.execPath
    const server = program(t, folder, [node, 'node_modules/tsx/dist/cli.mjs', 'server.ts'], { PORT: '0' })
    const target = await addressOf(server)
    const vite = program(
      t,
      folder,
      [node, 'node_modules/vite/bin/vite.js', '--port', String(await freePort())],
      { TWINRAIL_URL: target },
    )
    const page = (await addressOf(vite)).replace('127.0.0.1', 'localhost')
    t.match(await (await fetch(`${page}src/App.tsx`)).text(), 'useSession')
    t.test('in Chromium', { skip: noBrowser }, async t => {
      const tab = await open(t, page)
      await tab.getByLabel('Question').fill('What is a cursor?')
      await tab.getByRole('button', { name: 'Ask' }).click()
      // The question and the answer.
      await tab.getByText('What is a cursor?').nth(1).waitFor()
      await tab.reload()
      await tab.getByText('What is a cursor?').nth(1).waitFor()
    })
  })

  t.test('next: a route pipes an answer of the AI SDK into a session', async t => {
    const folder = starter(t, 'next')
    const model = await openAiServer([{ chunks: [...says('A cursor ', 'is a place.'), ...stops()] }], 1)
    t.teardown(() => model.close())
    const rail = program(t, folder, [
      process.execPath,
      'node_modules/twinrail/dist/src/cli/main.js',
      'serve',
      '--log',
      'memory',
      '--port',
      '0',
    ])
    const env = {
      TWINRAIL_URL: new URL(await addressOf(rail)).origin,
      OPENAI_BASE_URL: model.baseURL,
      OPENAI_MODEL: 'scripted',
      NEXT_TELEMETRY_DISABLED: '1',
    }
    const next = [process.execPath, 'node_modules/next/dist/bin/next'] as const
    const built = execFileSync(next[0], [next[1], 'build'], {
      cwd: folder,
      env: { ...userEnvironment, ...env },
      encoding: 'utf8',
      stdio: 'pipe',
    })
    t.match(built, /Compiled successfully/)
    const port = String(await freePort())
    const app = await addressOf(
      program(t, folder, [...next, 'start', '--hostname', '127.0.0.1', '--port', port], env),
    )
    t.match(await (await fetch(app)).text(), /<h1>Chat<\/h1>/, 'the page is rendered on the server')
    const answered = await fetch(new URL('/api/chat', app), {
      method: 'POST',
      body: JSON.stringify({ sessionId: 'demo', prompt: 'What is a cursor?' }),
    })
    t.equal(answered.status, 200)
    const events = await fetch(new URL('/twinrail/v1/sessions/demo/events', app), {
      headers: { accept: 'application/json' },
    })
    const text = await events.text()
    t.match(text, /What is a cursor\?.*A cursor .*is a place\..*run\.completed/s, 'the log has all of it')
    t.test('in Chromium', { skip: noBrowser }, async t => {
      const tab = await open(t, app)
      await tab.getByText('A cursor is a place.').waitFor()
    })
  })
})
