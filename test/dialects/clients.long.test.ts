/** Every foreign client in every situation: the unmodified package against a server. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { closeBrowser } from '../browser/stage.ts'
import { cutter } from '../fixtures/cutter.ts'
import { dialectAgents } from '../fixtures/dialects.ts'
import { TYPESCRIPT } from '../fixtures/typescript.ts'
import { serve } from '../fixtures/wire-server.ts'
import { type Situation, situations } from './clients/client.ts'
import { clients } from './clients/index.ts'
import { check, plays } from './clients/play.ts'

const only = { client: process.env['CLIENT'], situation: process.env['SITUATION'] }

// A client of which a test knows nothing more may still fail on its own.
process.on('unhandledRejection', () => {})
t.teardown(closeBrowser)

interface Stage {
  url: string
  restart(): Promise<void>
}

const inThisProcess = async (t: Test): Promise<Stage> => {
  const { url } = await serve(t, { agents: dialectAgents })
  return { url, restart: () => Promise.reject(new Error('it cannot be killed')) }
}

/** A server over LMDB that can be killed. It is killed once for all `users`, when each of them wants that. */
async function inOwnProcess(t: Test, users: number): Promise<Stage> {
  const folder = t.testdir()
  const script = new URL('../fixtures/dialect-server.ts', import.meta.url).pathname
  const start = async (port: string) => {
    const child = spawn(process.execPath, [...TYPESCRIPT, script, folder, port], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    t.teardown(() => child.kill('SIGKILL'))
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    return { child, url: line.toString().trim() }
  }
  let server = await start('0')
  const { url } = server
  let waiting = 0
  let restarted: () => void
  const isThere = new Promise<void>(resolve => {
    restarted = resolve
  })
  return {
    url,
    async restart() {
      if (++waiting === users) {
        server.child.kill('SIGKILL')
        await once(server.child, 'close')
        server = await start(new URL(url).port)
        restarted()
      }
      await isThere
    },
  }
}

const stages: Partial<Record<Situation, typeof inOwnProcess>> = {
  'server restart in mid-answer': inOwnProcess,
}

for (const situation of situations.filter(name => !only.situation || name === only.situation)) {
  t.test(situation, async t => {
    const tried = Object.entries(clients).filter(([name]) => !only.client || name.includes(only.client))
    const here = tried.filter(([, { skip = false }]) => skip === false)
    const { url, restart } = await (stages[situation] ?? inThisProcess)(t, here.length)
    const { agent } = plays[situation]
    t.jobs = tried.length
    // All at once: they share the server, and what happens to it.
    await Promise.all(
      tried.map(([name, client], i) =>
        t.test(
          `${name}: ${client.lacks[situation] ?? 'yes'}`,
          { skip: client.skip ?? false, buffered: true },
          async t => {
            const line = await cutter(t, url)
            let restarted: Promise<void> | undefined
            const scene = {
              client,
              place: { url: line.url, agent, id: `c${i}` },
              url,
              cut: () => line.cutAll(),
              restart() {
                restarted = restart()
                return restarted
              },
            }
            // The others do not wait for one that failed before.
            await check(t, situation, scene).finally(() => restarted ?? void restart().catch(() => {}))
          },
        ),
      ),
    )
  })
}
