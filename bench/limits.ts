/**
 * What a principal that sends ten times its limit costs another one, and whether the check of an API key tells by its time
 * how much of a key is right. `npx tsx bench/limits.ts [rounds]` prints the figures. In a round both cases take turns every
 * half second, so that other work on the machine meets both alike; medians of the rounds with their spread are compared.
 */

import { fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { setPriority } from 'node:os'
import { fileURLToPath } from 'node:url'
import { WebSocket } from 'ws'
import { apiKeyAuthorize, createServer } from './package/server.ts'

const LIMIT = 100
const SAMPLES = 40
const EVERY_MS = 12
const PAIRS = 12
const [role = '5', address = '', by = ''] = process.argv.slice(2)

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const sorted = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b)
const quantile = (numbers: readonly number[], q: number) =>
  sorted(numbers)[Math.min(numbers.length - 1, Math.floor(numbers.length * q))] as number
const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
const spread = (numbers: readonly number[]) =>
  `${quantile(numbers, 0.5).toFixed(3)} (${quantile(numbers, 0).toFixed(3)} to ${quantile(numbers, 1).toFixed(3)})`

async function open(url: string, key: string): Promise<WebSocket> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/ws`, {
    headers: { authorization: `Bearer ${key}` },
  })
  await once(socket, 'open')
  return socket
}

const publish = (id: string, sessionId: string) =>
  JSON.stringify({ id, type: 'publish', sessionId, event: { type: 'x.a', data: id } })

/** Serves until its parent has gone, and tells it its CPU time in µs when asked. */
async function serve(): Promise<void> {
  const authorize = apiKeyAuthorize(['victim', 'flooder'].map(name => ({ name, sha256: sha256(name) })))
  const principalLimits = { commandsPerSecond: LIMIT, commandBurst: LIMIT }
  const server = await createServer({ authorize, principalLimits, logger: false })
  process.on('message', () => {
    const { user, system } = process.cpuUsage()
    process.send?.(user + system)
  })
  process.send?.(await server.listen({ port: 0 }))
}

/** Sends ten times the limit while its parent says `on`, and tells it what was refused when it says `off`. */
async function flood(url: string): Promise<void> {
  // It would be another machine: the processor that it needs here is not to be missing where the times are taken.
  setPriority(10)
  const send = by === 'http' ? floodByHttp(url) : await floodBySocket(url)
  let isOn = false
  process.on('message', word => {
    isOn = word === 'on'
    if (word === 'off') process.send?.(refused)
  })
  let count = 0
  setInterval(() => {
    for (let i = 0; isOn && i < (LIMIT * 10) / 100; i++) send(`${count++}`)
  }, 10)
  process.send?.('ready')
}

let refused = 0

async function floodBySocket(url: string): Promise<(id: string) => void> {
  const socket = await open(url, 'flooder')
  socket.on('message', data => {
    for (const line of String(data).split('\n')) if (line.includes('"nack"')) refused++
  })
  return id => socket.send(publish(id, 'flood'))
}

function floodByHttp(url: string): (id: string) => void {
  const agent = new Agent({ keepAlive: true, maxSockets: 10 })
  const headers = { authorization: 'Bearer flooder', 'content-type': 'application/json' }
  return id => {
    const sent = request(`${url}/v1/sessions/flood/commands`, { method: 'POST', agent, headers }, answer => {
      if (answer.statusCode === 429) refused++
      answer.resume()
    })
    sent.end(publish(id, 'flood'))
  }
}

/** The times from a command to its ack, in ms, for half a second. */
async function roundTrips(socket: WebSocket): Promise<number[]> {
  const sentAt = new Map<string, number>()
  const took: number[] = []
  const take = (data: unknown) => {
    const now = performance.now()
    for (const line of String(data).split('\n')) {
      const { type, id } = JSON.parse(line) as { type: string; id?: string }
      const sent = sentAt.get(id ?? '')
      if (type === 'ack' && sent !== undefined) took.push(now - sent)
      else if (type === 'nack') throw new Error(line)
    }
  }
  socket.on('message', take)
  for (let i = 0; i < SAMPLES; i++) {
    sentAt.set(`${i}`, performance.now())
    socket.send(publish(`${i}`, 'victim'))
    await sleep(EVERY_MS)
  }
  while (took.length < SAMPLES) await sleep(5)
  socket.off('message', take)
  return took
}

async function measureLimits(by: 'websocket' | 'http', rounds: number): Promise<void> {
  const self = fileURLToPath(import.meta.url)
  const server = fork(self, ['serve'])
  const [url] = (await once(server, 'message')) as [string]
  const flooder = fork(self, ['flood', url, by])
  await once(flooder, 'message')
  const cpuOf = async (): Promise<number> => {
    server.send('cpu')
    return (await once(server, 'message'))[0]
  }
  const socket = await open(url, 'victim')
  const alone: number[] = []
  const beside: number[] = []
  const ratios: number[] = []
  const costs: number[] = []
  let refusedBefore = 0
  for (let round = -1; round < rounds; round++) {
    const times = { off: [] as number[], on: [] as number[] }
    const cpu = { off: 0, on: 0 }
    let refusals = 0
    for (let pair = 0; pair < (round < 0 ? 3 : PAIRS); pair++) {
      for (const word of pair % 2 === 0 ? (['off', 'on'] as const) : (['on', 'off'] as const)) {
        if (word === 'on') flooder.send(word)
        await sleep(50)
        const before = await cpuOf()
        times[word].push(...(await roundTrips(socket)))
        cpu[word] += (await cpuOf()) - before
        if (word === 'off') continue
        flooder.send('off')
        const [refused] = (await once(flooder, 'message')) as [number]
        refusals += refused - refusedBefore
        refusedBefore = refused
      }
    }
    // The first round only warms up, and uses up the burst.
    if (round < 0) continue
    alone.push(quantile(times.off, 0.99))
    beside.push(quantile(times.on, 0.99))
    ratios.push((beside.at(-1) as number) / (alone.at(-1) as number))
    costs.push((cpu.on - cpu.off) / refusals)
  }
  console.log(
    `p99 of a command of another principal, ms, ${rounds} rounds, over ${by}: alone ${spread(alone)}`,
  )
  console.log(`  beside a principal at 10 times its limit: ${spread(beside)}`)
  console.log(`  ratio of each round: ${spread(ratios)}; aim 1.25`)
  console.log(`  CPU of the server per refusal, µs, with what is not refused: ${spread(costs)}`)
  socket.close()
  flooder.kill()
  server.kill()
}

/** How long the check of a wrong key takes by how much of it is right. */
async function measureKeys(rounds: number): Promise<void> {
  const key = 'k'.repeat(64)
  const authorize = apiKeyAuthorize([{ name: 'a', sha256: sha256(key) }])
  const cases = {
    'first character wrong': `x${key.slice(1)}`,
    'last character wrong': `${key.slice(0, -1)}x`,
    right: key,
  }
  const wanted = { action: 'connect', group: 'any' } as const
  const time = async (token: string) => {
    const request = { headers: { authorization: `Bearer ${token}` } } as never
    const start = performance.now()
    for (let i = 0; i < 5000; i++) {
      try {
        await authorize(request, wanted)
      } catch {
        // A wrong key.
      }
    }
    return ((performance.now() - start) / 5000) * 1000
  }
  const took = new Map<string, number[]>(Object.keys(cases).map(name => [name, []]))
  for (let round = 0; round <= rounds * 3; round++) {
    for (const [name, token] of Object.entries(cases)) {
      const micros = await time(token)
      if (round > 0) took.get(name)?.push(micros)
    }
  }
  for (const [name, micros] of took) console.log(`check of an API key, µs, ${name}: ${spread(micros)}`)
}

if (role === 'serve') await serve()
else if (role === 'flood') await flood(address)
else {
  await measureLimits('websocket', Number(role))
  await measureLimits('http', Number(role))
  await measureKeys(Number(role))
  process.exit(0)
}
