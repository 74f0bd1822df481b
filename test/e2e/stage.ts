/** The command `twinrail` in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Test } from 'tap'
import { TYPESCRIPT } from '../fixtures/typescript.ts'

const cli = new URL('../../src/cli/main.ts', import.meta.url).pathname

export interface Result {
  code: number | null
  stdout: string
  stderr: string
}

export function twinrail(args: string[], env: Record<string, string> = {}): ChildProcess {
  const { NODE_OPTIONS: _, ...inherited } = process.env
  return spawn(process.execPath, [...TYPESCRIPT, cli, ...args], {
    env: { ...inherited, NO_COLOR: '1', TWINRAIL_LOG: 'memory', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

export async function finished(child: ChildProcess): Promise<Result> {
  let [stdout, stderr] = ['', '']
  child.stdout?.on('data', data => {
    stdout += data
  })
  child.stderr?.on('data', data => {
    stderr += data
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout, stderr }
}

/** A server in a process of its own; gives its address. */
export async function serve(
  t: Test,
  args: string[] = [],
  env: Record<string, string> = {},
): Promise<{ url: string; child: ChildProcess }> {
  const child = twinrail(['serve', '--port', '0', ...args], env)
  t.teardown(() => child.kill('SIGKILL'))
  let out = ''
  for await (const data of child.stdout as AsyncIterable<Buffer>) {
    out += data
    const url = /listens on (\S+)/.exec(out)?.[1]
    if (url) return { url, child }
  }
  throw new Error(`the server did not start: ${out}`)
}
