/** The packages as users get them: their types under strict settings, what their entries load, and that they and the examples run. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { createClient } from '../../client/index.ts'
import { closeBrowser, skip as noBrowser, open } from '../browser/stage.ts'
import { emptyFolder, install, packExamples, packWithTypes } from '../fixtures/packed.ts'
import { addressOf, output, program } from '../fixtures/program.ts'

const tsc = fileURLToPath(new URL('../../node_modules/typescript/bin/tsc', import.meta.url))
const { NODE_OPTIONS: _, ...env } = process.env

/** A project that uses every entry, implements a log of its own and is compiled with every check. */
const consumer = `
import {
  type AppendConditions, type Appended, type BusOptions, createHandler, createServer, defineAgent,
  type EventBody, type EventLog, type Follower, type Handler, type HoldBounds, type LagLimits, type LogPage,
  type MountOptions, type PluginOptions, type ReadBounds, type RetentionLimits, type ServerApi, type SessionInfo,
  type Snapshot, type Tls, twinrail,
} from 'twinrail'
import { type AiSdkAgentOptions, aiSdkAgent } from 'twinrail/agents/ai-sdk'
import { createDeepsearch } from 'twinrail/agents/deepsearch'
import { playback } from 'twinrail/agents/playback'
import { chooseTransport } from 'twinrail/guide'
import { createMemoryLog, LogEvent } from 'twinrail/log'
import { openLmdbLog } from 'twinrail/log/lmdb'
import { createRedisLog, type RedisClient, type RedisLogOptions } from 'twinrail/log/redis'
import { errorTable } from 'twinrail/protocol'
import { createClient } from 'twinrail-client'
import { createProducer } from 'twinrail-client/producer'
import { sharedTabs } from 'twinrail-client/shared'
import { createWorker } from 'twinrail-client/worker'
import { z } from 'zod'

// A log driver of one's own: every type in its methods has a name.
class Wrapped implements Pick<EventLog, 'append' | 'read' | 'follow'> {
  readonly #inner = createMemoryLog()
  append(sessionId: string, bodies: readonly string[], conditions?: AppendConditions): Promise<Appended> {
    return this.#inner.append(sessionId, bodies, conditions)
  }
  read(sessionId: string, after: number, bounds: ReadBounds): Promise<LogPage | undefined> {
    return this.#inner.read(sessionId, after, bounds)
  }
  follow(...args: Parameters<EventLog['follow']>): ReturnType<EventLog['follow']> {
    return this.#inner.follow(...args)
  }
}

const echo = defineAgent({
  name: 'echo', description: 'Repeats.', input: z.object({ query: z.string() }),
  async *run({ query }) {
    yield { type: 'text.start', data: { partId: 'a' } }
    yield { type: 'text.delta', data: { partId: 'a', delta: query } }
    yield { type: 'text.end', data: { partId: 'a' } }
  },
})
// @ts-expect-error a misspelt field of a known event
const misspelt: EventBody = { type: 'text.delta', data: { partId: 'a', delta: '', dleta: '' } }
const server = await createServer({ agents: [echo, playback] })
const client = createClient({ url: await server.listen({ port: 0 }) })
const session = client.session('s')
const run = session.run('echo', { query: 'hello' })
let text = ''
for await (const event of run.events) {
  if (event.type !== 'text.delta') continue
  text += event.data.delta
  // @ts-expect-error a misspelt field of a known event
  void event.data.dleta
}
await session.publish('x.note', { any: ['json'] })
const typed = client.session('s', { 'x.note': z.object({ any: z.array(z.string()) }) })
await typed.publish('x.note', { any: ['json'] })
// @ts-expect-error not one of the session's schemas
if (text === 'never') await typed.publish('x.other', 1)
const done: Promise<{ type: string }> = run.done
await done.catch(() => {}).finally(() => {})
console.log(text, (await run.done).type, chooseTransport({}).transport, errorTable['bad-request'].status)
client.close()
await server.close()

export type Named = [
  AiSdkAgentOptions, BusOptions, Follower, Handler, HoldBounds, LagLimits, MountOptions, PluginOptions, RedisClient,
  RedisLogOptions, RetentionLimits, ServerApi, SessionInfo, Snapshot, Tls,
]
export const values = [misspelt, aiSdkAgent, createDeepsearch, createHandler, createRedisLog, createWorker, createProducer, sharedTabs, twinrail, LogEvent, openLmdbLog, Wrapped]
`

/** The snippet of the client's README that shows a server's types from this side. */
function typesSnippet(side: 'server' | 'client'): string {
  const readme = readFileSync(new URL('../../client/README.md', import.meta.url), 'utf8')
  const [, code] = new RegExp(`^\`\`\`ts types=${side}\n(.*?)^\`\`\``, 'ms').exec(readme) ?? []
  if (code === undefined) throw new Error(`client/README.md has no snippet types=${side}`)
  return code
}

t.test('the packages, packed and installed in an empty folder', async t => {
  const folder = emptyFolder(t)
  const tarballs = [packWithTypes(t, 'twinrail', folder), packWithTypes(t, 'twinrail-client', folder)]
  writeFileSync(join(folder, 'package.json'), '{"private":true,"type":"module"}')
  install(folder, tarballs, ['@types/node'])
  const modules = join(folder, 'node_modules')
  for (const absent of ['ioredis', 'ai', 'react', 'tap', '@types/react'])
    t.notOk(existsSync(join(modules, absent)), `${absent} is not installed`)
  writeFileSync(join(folder, 'consumer.ts'), consumer)
  writeFileSync(join(folder, 'server.ts'), typesSnippet('server'))
  writeFileSync(join(folder, 'page.ts'), typesSnippet('client'))

  for (const [name, options] of [
    ['nodenext', ['--module', 'nodenext']],
    ['bundler', ['--module', 'esnext', '--moduleResolution', 'bundler']],
  ] as const) {
    const args = [
      '--strict',
      '--exactOptionalPropertyTypes',
      '--noUncheckedIndexedAccess',
      '--skipLibCheck',
      'false',
    ]
    const output = join(folder, name)
    mkdirSync(output)
    let complaints = ''
    try {
      execFileSync(
        process.execPath,
        [
          tsc,
          ...args,
          ...options,
          '--target',
          'es2023',
          '--types',
          'node',
          '--outDir',
          output,
          'consumer.ts',
          'page.ts',
        ],
        { cwd: folder, env, stdio: 'pipe' },
      )
    } catch (error) {
      complaints = String((error as { stdout: Buffer }).stdout)
    }
    t.equal(complaints, '', `compiles strictly under ${name}`)
  }
  const printed = execFileSync(process.execPath, [join(folder, 'nodenext/consumer.js')], {
    cwd: folder,
    env,
    encoding: 'utf8',
  })
  t.equal(printed, 'hello run.completed sse 400\n', 'and runs')

  // The client's React entry needs React, and nothing else does.
  t.throws(() =>
    execFileSync(process.execPath, ['--input-type=module', '-e', "await import('twinrail-client/react')"], {
      cwd: folder,
      env,
      stdio: 'pipe',
    }),
  )

  install(folder, [packExamples(folder)], [])
  for (const [file, contained] of [
    ['twinrail/LICENSE', 'MIT'],
    ['twinrail-client/LICENSE', 'MIT'],
    ['twinrail-examples/LICENSE', 'MIT'],
    ['twinrail-examples/dist/editing/page/licenses.md', '# yjs'],
  ] as const) {
    t.ok(readFileSync(join(folder, 'node_modules', file), 'utf8').includes(contained), file)
  }
  await t.test('the examples', t => startExamples(t, folder))
})

/** For each example a run of its agent, and an event that shows that the agent works. */
const runs = {
  // A thread of the server checks the answer that it waits for.
  chat: { agent: 'chat', input: { prompt: 'Refund order 1042' }, event: 'input.requested' },
  documents: {
    agent: 'documents',
    input: { name: 'a.md', text: 'A tide is a long wave.' },
    event: 'x.terms',
  },
  editing: { agent: 'co-author', input: { instruction: 'continue' }, event: 'x.doc.update' },
  game: { agent: 'table', input: {}, steer: 'sit red Ada', event: 'x.game.seated' },
  training: { agent: 'training', input: { seed: 1, steps: 20 }, event: 'x.training.boundary' },
} as const

async function startExamples(t: Test, folder: string): Promise<void> {
  t.teardown(closeBrowser)
  const usage = await output(program(t, folder, ['npx', 'twinrail-examples']))
  t.same(
    [...usage.matchAll(/^ {2}(\w+) +\S/gm)].map(([, name]) => name),
    Object.keys(runs),
    'without a name it lists them',
  )
  for (const [name, { agent, input, event, ...rest }] of Object.entries(runs)) {
    await t.test(name, async t => {
      const command = program(t, folder, ['node_modules/.bin/twinrail-examples', name, '--port', '0'])
      const url = await addressOf(command)
      t.match(url, /^http:\/\/127\.0\.0\.1:\d+$/, 'it listens on loopback')
      for (const path of ['', 'main.js', 'main.css']) {
        t.equal((await fetch(`${url}/${path}`)).status, 200, `/${path}`)
      }

      const client = createClient({ url, WebSocket, auth: () => ({ token: 'a secret of a tab' }) })
      t.teardown(() => client.close())
      const run = client.session('tried').run(agent, input)
      if ('steer' in rest) await run.steer(rest.steer)
      for await (const { type } of run.events) if (type === event) break
      t.pass(`its agent has told ${event}`)

      await t.test('its page, in Chromium', { skip: noBrowser }, async t => {
        const tab = await open(t, url)
        await tab.locator('.transport-bar[data-state="open"]').waitFor()
      })
      // It would be waited for. Most runs have ended by themselves.
      await run.cancel().catch(() => {})
      client.close()
      command.kill('SIGINT')
      await output(command)
      t.equal(command.exitCode, 0, 'Ctrl-C ends it')
    })
  }
}
