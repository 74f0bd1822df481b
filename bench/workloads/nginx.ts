/** nginx in front of a server: with its defaults, or configured as the documentation says. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Path } from '../guide/findings.ts'
import { isListening } from '../peers/peer.ts'

export interface Nginx {
  readonly port: number
  stop(): Promise<void>
}

/** Longest wait until it listens, ms. */
const START_MS = 30_000

const documents = new URL('../../docs/several-nodes.md', import.meta.url)

/** The documentation's configuration, for one node. */
function documented(port: number, upstream: number): string {
  const [, text] = /```nginx\n(.*?)```/s.exec(readFileSync(documents, 'utf8')) ?? []
  if (text === undefined) throw new Error('expected a configuration of nginx in docs/several-nodes.md')
  return text
    .replace(/^ *server 127\.0\.0\.1:8788;\n/m, '')
    .replace('127.0.0.1:8787', `127.0.0.1:${upstream}`)
    .replace('listen 8080', `listen 127.0.0.1:${port}`)
}

/** The shortest configuration that works. */
const defaults = (port: number, upstream: number) =>
  `server { listen 127.0.0.1:${port}; location / { proxy_pass http://127.0.0.1:${upstream}; } }`

export function isInstalled(): boolean {
  try {
    execFileSync('nginx', ['-v'], { stdio: 'pipe' })
    return true
  } catch {
    return false
  }
}

/** Starts nginx on `port` in front of the server on `upstream`. @throws Error when it does not listen in time */
export async function startNginx(
  path: Exclude<Path, 'direct'>,
  upstream: number,
  port: number,
): Promise<Nginx> {
  const folder = mkdtempSync(join(tmpdir(), 'twinrail-nginx-'))
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(name => `${name}_temp_path ${join(folder, name)};`)
    .join('\n')
  const block = path === 'nginx as it comes' ? defaults(port, upstream) : documented(port, upstream)
  const file = join(folder, 'nginx.conf')
  writeFileSync(
    file,
    `daemon off; worker_processes 1; pid ${join(folder, 'pid')}; error_log ${join(folder, 'error.log')};
events {} http { access_log off; ${temporary}\n${block} }`,
  )
  const child = spawn('nginx', ['-p', folder, '-c', file, '-e', 'stderr'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const stop = async () => {
    if (child.exitCode === null) {
      child.kill('SIGTERM')
      await once(child, 'exit')
    }
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await listening(port, child)
  } catch (error) {
    await stop()
    throw error
  }
  return { port, stop }
}

async function listening(port: number, child: ChildProcess): Promise<void> {
  for (let waited = 0; waited < START_MS && child.exitCode === null; waited += 20) {
    if (await isListening(port)) return
    await sleep(20)
  }
  throw new Error('nginx did not start to listen; its error output is above')
}
