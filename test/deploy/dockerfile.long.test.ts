/** The Dockerfile's steps, in empty folders with an empty environment. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import t from 'tap'
import { build, cannotBuild, run, start } from '../fixtures/dockerfile.ts'

const repository = join(import.meta.dirname, '../..')

const versionIn = (folder: string, name: string): string =>
  JSON.parse(readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8')).version

t.test(
  'the image builds, serves as an ordinary user, and stops gracefully',
  { skip: cannotBuild },
  async t => {
    const folder = t.testdir({ context: {}, stages: {} })
    const context = join(folder, 'context')
    const tracked = execFileSync('git', ['ls-files', '-z'], { cwd: repository, encoding: 'utf8' })
      .split('\0')
      .filter(name => name !== '')
    for (const name of tracked) {
      mkdirSync(dirname(join(context, name)), { recursive: true })
      cpSync(join(repository, name), join(context, name))
    }

    const image = await build(join(context, 'Dockerfile'), context, join(folder, 'stages'))
    t.equal(image.port, '8787')
    t.throws(
      () => statSync(join(image.root, image.workdir, 'node_modules/typescript')),
      'no development packages',
    )
    for (const name of ['fastify', 'ioredis', 'lmdb', 'ws', 'zod'])
      t.equal(versionIn(join(image.root, image.workdir), name), versionIn(repository, name), name)

    const server = start(image, ['serve', '--insecure'], { TWINRAIL_PORT: '0', TWINRAIL_LOG_LEVEL: 'info' })
    t.teardown(() => server.kill('SIGKILL'))
    const ended = new Promise(resolve => server.once('exit', (code, signal) => resolve(code ?? signal)))
    let output = ''
    server.stderr?.on('data', data => {
      output += data
    })
    let port = ''
    for await (const line of createInterface({ input: server.stdout as Readable })) {
      output += `${line}\n`
      port = /listens on \S+:(\d+)/.exec(line)?.[1] ?? ''
      if (port !== '') break
    }
    if (port === '') throw new Error(`the server did not start: ${output}`)
    server.stdout?.resume()
    const url = `http://127.0.0.1:${port}`
    t.equal((await fetch(`${url}/readyz`)).status, 200)
    t.match(await (await fetch(url)).text(), /<title>/, 'the page')
    const created = await fetch(`${url}/v1/sessions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ sessionId: 'one' }),
    })
    t.ok(created.ok, `creating a session: ${created.status}`)
    t.equal(statSync(join(image.root, 'data')).uid, 1000)

    const check = image.healthcheck.map(word => word.replace(image.port, port))
    await t.resolves(run(image, check))
    await t.rejects(
      run(
        image,
        check.map(word => word.replace(port, '1')),
      ),
    )

    server.kill('SIGTERM')
    t.equal(await ended, 0)
  },
)
