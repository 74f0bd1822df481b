/** OpenAI's client for Python, in a process of its own that does as it is told line by line. */
import { spawn } from 'node:child_process'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import root from 'tap'
import { missing } from '../../foreign/clients.ts'
import type { ForeignClient, Shown, Tab } from './client.ts'
import { completions } from './openai.ts'

const script = fileURLToPath(new URL('openai_client.py', import.meta.url))

let port: Promise<number> | undefined

/** Starts what the clients are forked from, for all of them together. */
async function listen(): Promise<number> {
  const python = spawn('python3', [script], { stdio: ['pipe', 'pipe', 'inherit'] })
  root.teardown(() => python.kill())
  for await (const line of createInterface({ input: python.stdout })) return Number(line)
  throw new Error('Python ended before it listened')
}

/** What the process says after each order, and while a response comes. */
interface Said {
  done?: number
  shown: Shown
  saved: unknown
}

/** @param lacks what the API cannot do */
const inPython = (api: 'responses' | 'completions', lacks: ForeignClient['lacks']): ForeignClient => ({
  skip: missing({ python: 'openai' }),
  lacks,
  async open(t, { url, agent, id }, saved): Promise<Tab> {
    port ??= listen()
    const child = connect(await port, '127.0.0.1')
    t.teardown(() => child.destroy())
    child.write(`${JSON.stringify({ api, url: `${url}/openai/v1`, agent, id, saved })}\n`)
    let said: Said = { shown: { text: '', verdict: undefined }, saved: saved ?? null }
    let orders = 0
    const open = new Map<number, () => void>()
    createInterface({ input: child }).on('line', line => {
      said = JSON.parse(line)
      if (said.done !== undefined) open.get(said.done)?.()
    })
    child.on('close', () => {
      for (const resolve of open.values()) resolve()
    })
    const order = (what: string, value: unknown = null) =>
      new Promise<void>(resolve => {
        open.set(++orders, resolve)
        child.write(`${JSON.stringify([orders, what, value])}\n`)
      })
    return {
      send: text => order('send', text),
      resume: () => order('resume'),
      shown: () => said.shown,
      ...(lacks.approval === undefined && { approve: () => order('approve') }),
      giveResult: output => order('give_result', output),
      ...(lacks.cancel === undefined && { cancel: () => order('cancel') }),
      saved: () => said.saved,
      leave: () => child.destroy(),
    }
  },
})

export const pythonResponses = inPython('responses', {})

export const pythonCompletions = inPython('completions', completions.lacks)
