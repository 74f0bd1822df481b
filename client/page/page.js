/** The page at `/`: one session, watched over SSE and over WebSocket side by side. */

const find = (selector, root = document) => root.querySelector(selector)
const stamp = id => find(`#${id}`).content.firstElementChild.cloneNode(true)
const seqOf = offset => Number(offset.split('-')[1])
const brief = value => (typeof value === 'string' ? value : (JSON.stringify(value) ?? '')).slice(0, 200)

/** An element. What agents say gets into the page by `content` alone, which makes text nodes of it. */
function make(tag, content, properties = {}) {
  const node = Object.assign(document.createElement(tag), properties)
  node.append(...[content].flat())
  return node
}

/** 128 random bits; `crypto.randomUUID` is missing on pages that came over plain HTTP. */
const newId = () => crypto.getRandomValues(new Uint32Array(4)).join('-')

/** The session stands in the hash: a reload resumes it and another tab joins it. */
const sessionId = /^#([A-Za-z0-9][\w.:-]{0,127})$/.exec(location.hash)?.[1] ?? newId()
history.replaceState(null, '', `#${sessionId}`)
addEventListener('hashchange', () => location.reload())

/** Posts JSON and gives the answer; rejects with the server's words. */
async function post(path, body) {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) })
  const answer = await response.json()
  if (response.ok) return answer
  throw Object.assign(new Error((answer.error ?? answer).message), { refused: true })
}

/** Sends a command; again under the same key when the answer was lost, so that it takes effect once. */
async function send(command, attempt = 1) {
  const keyed = { id: newId(), key: newId(), ...command }
  try {
    return await post(`/v1/sessions/${sessionId}/commands`, keyed)
  } catch (error) {
    if (error.refused || attempt === 3) throw error
    await new Promise(resolve => setTimeout(resolve, Math.random() * 1000 * 2 ** attempt))
    return send(keyed, attempt + 1)
  }
}

/** What runs in the next frame, each once however often it is asked for. */
const tasks = new Set()
function inNextFrame(task) {
  if (tasks.size === 0) requestAnimationFrame(runTasks)
  tasks.add(task)
}

function runTasks() {
  for (const task of tasks) task()
  tasks.clear()
}

/** Escapes, code, bold and citations; with blocks, all the Markdown that answers use. */
const marks = /\\([!-/:-@[-`{-~])|(`+)(.+?)\2(?!`)|\*\*(.+?)\*\*|\[(\d+)\]/g

function inline(text, cite) {
  const nodes = []
  let end = 0
  for (const { index, 0: all, 1: escaped, 3: code, 4: bold, 5: number } of text.matchAll(marks)) {
    nodes.push(text.slice(end, index))
    end = index + all.length
    if (code) nodes.push(make('code', code))
    else if (bold) nodes.push(make('strong', inline(bold, cite)))
    else nodes.push(escaped ?? cite(Number(number)))
  }
  return [...nodes, text.slice(end)]
}

/** Splits at blank lines, but not within fenced code. */
function blocksOf(text) {
  const blocks = [[]]
  let fence
  for (const line of text.split('\n')) {
    const ticks = /^`{3,}/.exec(line)?.[0]
    if (!fence && (ticks || line.trim() === '')) blocks.push([])
    blocks.at(-1).push(line)
    if (fence && line.trim() === fence) fence = void blocks.push([])
    else fence ??= ticks
  }
  return blocks.map(lines => lines.join('\n').replace(/^\s*\n|\s+$/g, '')).filter(block => block !== '')
}

function blockNode(text, cite) {
  if (text.startsWith('```')) return make('pre', text.replace(/^.*\n?|\n`+$/g, ''), { tabIndex: 0 })
  if (!/^[-*] /.test(text)) return make('p', inline(text, cite))
  const items = text.split(/\n(?=[-*] )/).map(item => make('li', inline(item.slice(2), cite)))
  return make('ul', items)
}

/** Shows a text that has grown; only blocks that changed are made again. */
function showText(parent, text, cite) {
  for (const [i, block] of blocksOf(text).entries()) {
    const old = parent.children[i]
    if (old?.block === block) continue
    const made = Object.assign(blockNode(block, cite), { block })
    if (old) old.replaceWith(made)
    else parent.append(made)
  }
}

const outcomes = { 'run.completed': 'Completed', 'run.failed': 'Failed', 'run.cancelled': 'Cancelled' }
const steps = { pending: '○', running: '▸', done: '✓', failed: '✗' }
const framing = /^(text|reasoning|artifact)\.(start|end)$|^tool\.(started|delta)$/

/** One run, as one rail brought it. */
class RunView {
  node = stamp('run-template')
  #texts = new Map()

  show({ type, data }) {
    if (type === 'text.start')
      find('.answer', this.node).ariaBusy = 'true' // read out as a whole, at the end
    else if (type === 'run.started') this.#part('h3').textContent = data.input?.query ?? brief(data.input)
    else if (type === 'run.status') this.#part('.phase').textContent = data.message ?? data.status
    else if (type === 'plan.updated') this.#plan(data.steps)
    else if (type === 'source.added') this.#source(data)
    else if (type.endsWith('.delta') && !framing.test(type)) this.#grow(type, data)
    else if (type in outcomes) this.#end(type, data)
    else if (!framing.test(type)) this.#part('.activity').append(make('p', `${type} ${brief(data)}`))
  }

  /** A part of the template, shown from now on. */
  #part(selector) {
    const node = find(selector, this.node)
    node.hidden = false
    return node
  }

  #grow(type, { partId, artifactId, delta }) {
    const id = partId ?? artifactId
    if (!this.#texts.has(id)) {
      const node = make('div', [], { className: 'part' })
      this.#part(type === 'reasoning.delta' ? '.activity' : '.answer').append(node)
      const part = { text: '', draw: () => showText(node, part.text, this.#cite) }
      this.#texts.set(id, part)
    }
    const part = this.#texts.get(id)
    part.text += delta
    inNextFrame(part.draw)
  }

  #plan(plan) {
    const item = ({ title, status }) => make('li', `${steps[status]} ${title}`, { className: status })
    this.#part('.plan').replaceChildren(...plan.map(item))
  }

  #source({ title, url, excerpt }) {
    const web = /^https?:/.test(url ?? '')
    const link = { href: url, target: '_blank', rel: 'noreferrer' }
    const about = inline(excerpt ?? '', number => `[${number}]`)
    const name = web ? make('a', title, link) : [title, url].join(' ')
    this.#part('.sources').append(make('li', [name, make('small', about)], { tabIndex: -1 }))
  }

  /** A button and no link: the hash is the session's. */
  #cite = number => {
    const onclick = () => find('.sources', this.node).children[number - 1]?.focus()
    return make('button', `[${number}]`, { className: 'cite', ariaLabel: `Source ${number}`, onclick })
  }

  #end(type, { code, message, reason, finishReason }) {
    const outcome = this.#part('.outcome')
    outcome.append(`${outcomes[type]} · ${code ? `${code}: ${message}` : (reason ?? finishReason)}`)
    outcome.classList.add(outcomes[type])
    find('.answer', this.node).ariaBusy = 'false'
  }
}

/** One rail: its figures, the runs that it brought, and its connection, which `connect` opens and gives the end of. */
class Rail {
  node = stamp('rail-template')
  cursor
  #connect
  #idle
  #close
  #retry
  #failures = 0
  #heartbeatMs = 15_000
  #heardAt
  #clockOffset = 0
  #live = false
  #delays = []
  #events = 0
  #bytes = 0
  #runs = new Map()

  constructor(title, connect) {
    this.#connect = connect
    find('h2', this.node).textContent = title
    find('.switch', this.node).onclick = () => (this.#idle ? this.open() : this.stop('cut', 'cut by you'))
    find('#rails').append(this.node)
    setInterval(() => {
      if (this.#close && Date.now() - this.#heardAt > 2.5 * this.#heartbeatMs) this.lost('it went silent')
    }, 1000)
    this.open()
  }

  /** Connects at the cursor. The session is made first, for a log in memory forgets it with a restart. */
  async open() {
    this.stop('connecting', 'connecting')
    this.#heardAt = Date.now()
    this.#live = false
    const pending = () => {}
    this.#close = pending
    const error = await post('/v1/sessions', { sessionId }).then(pending, error => error)
    if (this.#close !== pending) return
    if (!error) this.#close = this.#connect(this)
    else if (error.refused) this.stop('refused', error.message)
    else this.lost('no server')
  }

  /** Comes back by itself after a jittered wait. */
  lost(why, floorMs = 0) {
    const wait = floorMs + Math.random() * Math.min(30_000, 1000 * 2 ** this.#failures++)
    this.stop('waiting', `${why}; back in ${(wait / 1000).toFixed(1)} s`)
    this.#retry = setTimeout(() => this.open(), wait)
  }

  /** Closes what is open or about to open; `state` and `text` say why. */
  stop(state, text) {
    clearTimeout(this.#retry)
    this.#close?.()
    this.#close = undefined
    this.#tell(state, text)
  }

  #tell(state, text) {
    this.#idle = ['cut', 'refused', 'ended'].includes(state)
    Object.assign(find('.state', this.node), { className: `state ${state}`, textContent: text })
    find('.switch', this.node).textContent = this.#idle ? 'Resume' : 'Cut'
  }

  /** Takes one message: an event or, when its type has no dot, a control message. */
  hear(json) {
    this.#heardAt = Date.now()
    this.#bytes += new TextEncoder().encode(json).length
    const message = JSON.parse(json)
    if (message.type.includes('.')) this.#event(message)
    else this.#control(message)
    inNextFrame(this.#draw)
  }

  #control({ type, heartbeatMs, serverTime, message, reason, retryAfterMs }) {
    if (type === 'hello') {
      this.#heartbeatMs = heartbeatMs
      this.#clockOffset = serverTime - Date.now()
      this.#tell('open', 'open')
    }
    if (type === 'caught-up') this.#live = true
    if (type === 'nack') this.stop('refused', message)
    if (type === 'closing') this.lost(reason, retryAfterMs)
    if (type === 'end') this.stop('ended', `ended: ${reason}`)
    if (type === 'reset') location.reload() // all that the page holds is of a log that is gone
  }

  #event(event) {
    const { offset, runId, time } = event
    this.#events += 1
    this.#failures = 0
    if (this.#live) this.#delays = [...this.#delays.slice(-30), Date.now() + this.#clockOffset - time]
    if (!offset || (this.cursor && seqOf(offset) <= seqOf(this.cursor))) return
    this.cursor = offset
    takeForAll(event)
    if (runId && !this.#runs.has(runId)) {
      const run = new RunView()
      find('.answer', run.node).ariaLive = this.node.previousElementSibling ? 'off' : 'polite' // one rail talks
      find('.runs', this.node).prepend(run.node) // the newest stands first
      this.#runs.set(runId, run)
    }
    this.#runs.get(runId)?.show(event)
  }

  #draw = () => {
    const set = (name, text) => find(`.${name}`, this.node).replaceChildren(text)
    const delay = this.#delays.toSorted((a, b) => a - b)[this.#delays.length >> 1]
    set('delay', delay === undefined ? '–' : `${Math.max(0, delay)} ms`)
    set('events', this.#events.toLocaleString('en'))
    set('bytes', this.#bytes < 1000 ? `${this.#bytes} B` : `${(this.#bytes / 1000).toFixed(1)} kB`)
    set('offset', this.cursor ?? '–')
  }
}

/** A bare EventSource. Its own reconnecting is not used, so that the page can say when it comes back. */
function overSse(rail) {
  const after = rail.cursor ? `?after=${rail.cursor}` : ''
  const source = new EventSource(`/v1/sessions/${sessionId}/events${after}`)
  for (const type of ['message', 'hello', 'caught-up', 'reset', 'ping', 'end', 'closing']) {
    source.addEventListener(type, ({ data }) => rail.hear(data))
  }
  source.onerror = () => rail.lost('connection lost')
  return () => source.close()
}

function overSocket(rail) {
  const lasting = new Set([1002, 1007, 1009, 4400, 4401, 4403, 4404, 4409]) // would be refused again
  const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/v1/ws`, 'twinrail.v1')
  const subscribe = { type: 'subscribe', id: '1', sessionId, after: rail.cursor }
  socket.onopen = () => socket.send(JSON.stringify(subscribe))
  socket.onmessage = ({ data }) => data.split('\n').map(json => rail.hear(json))
  socket.onclose = ({ code, reason }) =>
    lasting.has(code) ? rail.stop('refused', reason) : rail.lost('connection lost')
  return () => {
    socket.onopen = socket.onmessage = socket.onclose = null
    socket.close(1000)
  }
}

const shared = { seen: '', running: '', plan: [] }

/** What both rails tell of the session, whichever is first: the running run and the open questions. */
function takeForAll({ offset, type, runId = '', data }) {
  const { seen, running } = shared
  if (offset.split('-')[0] === seen.split('-')[0] && seqOf(offset) <= seqOf(seen)) return
  shared.seen = offset
  if (type === 'run.started') shared.running = runId
  if (type === 'plan.updated') shared.plan = data.steps.map(step => step.title)
  if (type === 'input.requested') find('#inputs').append(inputForm(data, runId))
  if (/^input\.(answered|expired)$/.test(type)) document.getElementById(`input-${data.requestId}`)?.remove()
  if (type in outcomes) {
    for (const form of document.querySelectorAll(`#inputs [data-run="${runId}"]`)) form.remove()
    if (running === runId) shared.running = ''
  }
  find('#running').hidden = !shared.running
}

/** Does what a form asks for, and shows why not in the form. */
function onSubmit(form, action) {
  form.onsubmit = async submitted => {
    submitted.preventDefault()
    find('.problem', form).textContent = ''
    await action(submitted.submitter).catch(error => find('.problem', form).append(error.message))
  }
}

/** A form for an `input.requested`: yes or no for an approval, a text for anything else. */
function inputForm({ requestId, kind, message, schema }, runId) {
  const form = stamp(kind === 'approval' ? 'approval-template' : 'question-template')
  form.id = `input-${requestId}`
  form.dataset.run = runId
  find('.message', form).textContent = message
  const text = find('textarea', form)
  const { approved, questions } = schema?.properties ?? {}
  find('label', form).hidden = kind === 'approval' && !questions
  if (questions) text.value = shared.plan.join('\n')
  onSubmit(form, async ({ value }) => {
    const lines = text.value.split('\n').filter(line => line.trim())
    const yes = value === 'yes'
    const decision = approved ? { approved: yes, ...(yes && questions && { questions: lines }) } : yes
    const typed = () => (schema && schema.type !== 'string' ? JSON.parse(text.value) : text.value)
    await send({ type: 'input.answer', requestId, value: kind === 'approval' ? decision : typed() })
  })
  return form
}

const samples = { playback: '{"count": 300, "rate": 30}' }
const { agents } = await (await fetch('/v1/agents')).json()

/** The chosen agent, and the field of its input that takes plain text. */
function chosen() {
  const agent = agents.find(({ name }) => name === find('#agent').value)
  const { properties = {} } = agent.input
  const field = ['query', 'prompt', 'text', 'message', 'input'].find(field => field in properties)
  return { ...agent, field, confirms: 'confirm' in properties }
}

function showAgent() {
  const { name, description, field, confirms } = chosen()
  find('#about').textContent = field ? description : `${description} Takes JSON.`
  find('#confirm-field').hidden = !confirms
  find('#question').placeholder = field ? 'What would you like to know?' : (samples[name] ?? '{}')
}

find('#agent').append(...agents.map(({ name }) => make('option', name, { selected: name === 'deepsearch' })))
find('#agent').onchange = showAgent
showAgent()

onSubmit(find('#ask'), async () => {
  const { name, field, confirms } = chosen()
  const text = find('#question').value
  const confirm = confirms && find('#confirm').checked ? { confirm: true } : {}
  const input = field && !text.startsWith('{') ? { [field]: text, ...confirm } : JSON.parse(text)
  await send({ type: 'run.start', agent: name, input, runId: newId() })
})
onSubmit(find('#running'), async ({ value }) => {
  if (value === 'cancel') return send({ type: 'run.cancel', runId: shared.running })
  await send({ type: 'input.steer', runId: shared.running, text: find('#steer').value })
  find('#steer').value = ''
})
find('#share').href = `#${sessionId}`

new Rail('SSE', overSse)
new Rail('WebSocket', overSocket)
