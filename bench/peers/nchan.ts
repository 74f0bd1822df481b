/** Nchan, publish and subscribe in nginx (Debian’s libnginx-mod-nchan), as processes of its own. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Dial, freePort, isListening } from './peer.ts'

export interface Nchan {
  readonly port: number
  /** User and system time of the worker so far, in µs. */
  cpuUs(): number
  stop(): Promise<void>
}

/** The note of a result without it. */
export const noNchan =
  'Nchan was left out: nginx or its module is not installed (apt-get install nginx libnginx-mod-nchan)'

/** The module's path; undefined where it or nginx is missing. */
function modulePath(): string | undefined {
  const { stderr = '' } = spawnSync('nginx', ['-V'], { encoding: 'utf8' })
  const folder = /--modules-path=(\S+)/.exec(stderr)?.[1]
  const path = folder === undefined ? undefined : join(folder, 'ngx_nchan_module.so')
  return path !== undefined && existsSync(path) ? path : undefined
}

export const hasNchan = () => modulePath() !== undefined

/** Where a channel's events are published, and where they are followed. */
export const nchanPaths = (channel: string) => ({ publish: `/pub/${channel}`, follow: `/sub/${channel}` })

/** Follows a channel. A WebSocket asks for a sign that it stands; an event stream begins with one. */
export function dialNchan(wire: Dial['wire'], port: number, channel: string): Dial {
  const { follow: path } = nchanPaths(channel)
  return wire === 'sse'
    ? { wire, port, path, readyAfter: ': hi' }
    : { wire, port, path, messages: ['here'], readyAfter: 'there' }
}

/** One worker with its channels in memory. @throws Error where it is not installed or does not start */
export async function startNchan(): Promise<Nchan> {
  const module = modulePath()
  if (module === undefined) throw new Error(noNchan)
  const folder = mkdtempSync(join(tmpdir(), 'twinrail-bench-nchan-'))
  const port = await freePort()
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    name => `${name}_temp_path ${join(folder, name)};`,
  )
  const file = join(folder, 'nginx.conf')
  writeFileSync(
    file,
    `load_module ${module};
daemon off; worker_processes 1; pid ${join(folder, 'pid')}; error_log ${join(folder, 'error.log')};
events { worker_connections 8192; }
http {
  access_log off; ${temporary.join(' ')}
  keepalive_requests 1000000;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location ~ ^/pub/(.+)$ { nchan_publisher; nchan_channel_id $1; nchan_message_buffer_length 1000; }
    location ~ ^/sub/(.+)$ {
      nchan_pubsub websocket eventsource; nchan_channel_id $1; nchan_subscriber_first_message newest;
      nchan_websocket_client_heartbeat here there;
    }
  }
}`,
  )
  const child = spawn('nginx', ['-p', folder, '-c', file, '-e', 'stderr'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const gone = once(child, 'exit')
  const workers = () => readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim()
  // The first process listens before it starts the worker.
  while (!(await isListening(port)) || workers() === '') {
    if (child.exitCode !== null) throw new Error('nginx with Nchan did not start; its error output is above')
    await sleep(10)
  }
  const pids = workers().split(' ')
  return {
    port,
    // The first number is the time on a processor, in ns.
    cpuUs: () =>
      pids.reduce(
        (sum, pid) => sum + Number.parseInt(readFileSync(`/proc/${pid}/schedstat`, 'utf8'), 10),
        0,
      ) / 1000,
    async stop() {
      if (child.exitCode === null) child.kill('SIGTERM')
      await gone
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
