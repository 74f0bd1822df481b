/** Reads foreign streams to their ends and checks every event. The frames are parsed only when the stream is over. */
import { request } from 'node:http'
import { type FormName, forms, wordOf } from '../dialects/requests.ts'
import { serveWorker } from '../serve.ts'

export type DialectReaderHandlers = typeof handlers

const handlers = {
  /**
   * Reads one stream.
   * @returns what is wrong with its text, compared with the words of so many events; nothing when it is right
   */
  async read(base: string, name: FormName, id: string, events: number): Promise<string | undefined> {
    const { path, headers, body } = forms[name].request(id) as {
      path: string
      headers?: Record<string, string>
      body: object
    }
    const stream = await post(base + path, headers, JSON.stringify(body))
    const { textIn } = forms[name] as { textIn(frame: unknown): string | undefined }
    let text = ''
    for (const [, data = ''] of stream.matchAll(/^data: ?(.*)$/gm)) {
      if (data.startsWith('{')) text += textIn(JSON.parse(data)) ?? ''
    }
    const expected = Array.from({ length: events }, (_, i) => wordOf(i)).join('')
    if (text === expected) return undefined
    let at = 0
    while (text[at] === expected[at]) at++
    return `${text.length} characters of ${expected.length}; "${text.slice(at, at + 20)}" where "${expected.slice(at, at + 20)}" is due`
  },
}

function post(url: string, headers: Record<string, string> = {}, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request(url, {
      method: 'POST',
      agent: false,
      headers: { 'content-type': 'application/json', ...headers },
    })
    sent.on('error', reject)
    sent.on('response', response => {
      const chunks: Buffer[] = []
      response.on('data', chunk => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        if (response.statusCode === 200) resolve(text)
        else reject(new Error(`${url} was answered ${response.statusCode}: ${text.slice(0, 200)}`))
      })
    })
    sent.end(body)
  })
}

serveWorker(handlers)
