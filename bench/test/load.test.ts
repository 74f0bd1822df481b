import { constants, deflateRawSync } from 'node:zlib'
import t from 'tap'
import { EventScanner, SequenceCheck } from '../load/event-scanner.ts'
import { Dechunker, Deframer, isCompressed, unwrap } from '../load/framing.ts'
import { chunk, frame } from '../peers/floor.ts'

const event = (seq: number, from?: number) =>
  JSON.stringify({
    offset: `1763812345678-${seq}`,
    sessionId: 'chat-1',
    runId: 'r1',
    type: 'text.delta',
    time: 1,
    ...(from !== undefined && { from: `1763812345678-${from}` }),
    data: { partId: 'p', delta: 'so {"offset":"1-9" it goes ' },
  })

const sse = (events: string[]) => events.map(json => `id: x\ndata: ${json}\n\n`).join('')

/** Hands bytes over in pieces, as a socket may; each piece's buffer is used again. */
function inPieces(bytes: Buffer, size: number, take: (piece: Buffer) => void): void {
  const reused = Buffer.alloc(size)
  for (let at = 0; at < bytes.length; at += size) {
    const count = bytes.copy(reused, 0, at, at + size)
    take(reused.subarray(0, count))
  }
}

function check(events: string[], pieceSize: number): SequenceCheck {
  const check = new SequenceCheck()
  inPieces(Buffer.from(sse(events)), pieceSize, piece => check.push(piece))
  return check
}

t.test('the sequence check counts each event once, however the bytes are cut', async t => {
  const events = Array.from({ length: 120 }, (_, i) => event(i + 1))
  for (let size = 1; size < 300; size++) {
    const { seq, faults } = check(events, size)
    if (seq !== 120 || faults !== 0) t.fail(`pieces of ${size}: ${seq} and ${faults} faults`)
  }
  t.pass()
})

t.test(
  'the sequence check accepts a fold for the events that it stands for, however the bytes are cut',
  async t => {
    for (let size = 1; size < 300; size++) {
      const { seq, faults } = check([event(1), event(9, 2), event(10)], size)
      if (seq !== 10 || faults !== 0) t.fail(`pieces of ${size}: ${faults} faults`)
    }
    t.pass()
  },
)

t.test('the sequence check counts holes, repeats and events out of order', async t => {
  t.equal(check([event(1), event(3)], 1000).faults, 1)
  t.equal(check([event(1), event(1)], 1000).faults, 1)
  t.equal(check([event(2), event(1), event(3)], 1000).faults, 2)
  t.equal(check([event(1), event(9, 3)], 1000).faults, 1)
})

t.test('the sequence check ignores control messages', async t => {
  const check = new SequenceCheck()
  check.push(Buffer.from('event: caught-up\ndata: {"type":"caught-up","offset":"1763812345678-7"}\n\n'))
  t.equal(check.seq, -1)
})

const ephemeral = (n: number) =>
  JSON.stringify({
    sessionId: 'chat-1',
    type: 'x.cursor',
    time: 1,
    by: 'me',
    ephemeral: true,
    data: { n, at: { x: 1 } },
  })

/** What a scanner finds in the text when it comes in pieces of this size. */
function find(text: string, size: number): string[] {
  const found: string[] = []
  const scanner = new EventScanner({
    onEvent: ({ sessionId, epoch, seq, from }) => found.push(`${sessionId} ${epoch} ${from}-${seq}`),
    onEphemeral: number => found.push(`ephemeral ${number}`),
    onControl: (type, text) => found.push(`${type} ${text.length}`),
  })
  inPieces(Buffer.from(text), size, piece => scanner.push(piece))
  return found
}

t.test(
  'the scanner finds events, ephemeral events and control messages, however the bytes are cut',
  async t => {
    const ack = '{"type":"ack","id":"c1","offset":"1763812345678-3"}'
    const text = `event: hello\ndata: {"type":"hello","limits":{"a":1}}\n\nid: 1\ndata: ${event(1)}\n\n${event(3, 2)}\n${ephemeral(12)}\n${ack}\n\n`
    const whole = find(text, text.length)
    t.same(whole, [
      'hello 32',
      'chat-1 1763812345678 1-1',
      'chat-1 1763812345678 2-3',
      'ephemeral 12',
      `ack ${ack.length}`,
    ])
    for (let size = 1; size < text.length; size++) {
      if (find(text, size).join() !== whole.join()) t.fail(`pieces of ${size}: ${find(text, size).join()}`)
    }
  },
)

t.test('chunks are removed, however the bytes are cut', async t => {
  const bytes = Buffer.concat(['a', 'bc\r\nde', 'ü'.repeat(300)].map(chunk))
  for (const size of [1, 2, 3, 7, 1000]) {
    const out: Buffer[] = []
    const dechunker = new Dechunker(body => out.push(Buffer.from(body)))
    inPieces(bytes, size, piece => dechunker.push(piece))
    t.equal(Buffer.concat(out).toString(), `abc\r\nde${'ü'.repeat(300)}`)
  }
})

t.test('frames are removed, however the bytes are cut', async t => {
  const texts = ['a', 'b'.repeat(125), 'c'.repeat(126), 'd'.repeat(5000)]
  const bytes = Buffer.concat(texts.map(text => frame(text)))
  for (const size of [1, 2, 3, 130, 10_000]) {
    const out: string[] = []
    const deframer = new Deframer((opcode, payload) => out.push(`${opcode}${payload}`))
    inPieces(bytes, size, piece => deframer.push(piece))
    t.same(
      out,
      texts.map(text => `1${text}`),
    )
  }
})

/** Blocks that share their history, as a sender with context takeover makes them. */
function deflated(texts: string[]): Buffer[] {
  return texts.map((text, i) =>
    deflateRawSync(text, {
      dictionary: Buffer.from(texts.slice(0, i).join('')),
      finishFlush: constants.Z_SYNC_FLUSH,
    }),
  )
}

t.test('gzip inside chunks is inflated with its history', async t => {
  const texts = [event(1), event(2), event(3)]
  const bytes = Buffer.concat([
    chunk(Buffer.from('1f8b0800000000000003', 'hex')),
    ...deflated(texts).map(block => chunk(block)),
  ])
  for (const size of [1, 11, 1000]) {
    let out = ''
    const take = unwrap('sse', 'HTTP/1.1 200 OK\r\ncontent-encoding: gzip', text => {
      out += text
    })
    inPieces(bytes, size, take)
    t.equal(out, texts.join(''))
  }
})

t.test('permessage-deflate is inflated with its history, plain messages in between', async t => {
  const [first, second] = deflated([event(1), event(2)]) as [Buffer, Buffer]
  const bytes = Buffer.concat([
    frame(first.subarray(0, -4), true),
    frame('plain'),
    frame(second.subarray(0, -4), true),
  ])
  let out = ''
  const take = unwrap('websocket', '', text => {
    out += text
  })
  inPieces(bytes, 5, take)
  t.equal(out, `${event(1)}\nplain\n${event(2)}\n`)
})

t.test('the response head shows whether the server compresses', async t => {
  t.ok(isCompressed('HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nvary: accept'))
  t.ok(isCompressed('HTTP/1.1 101 X\r\nSec-WebSocket-Extensions: permessage-deflate; x'))
  t.notOk(isCompressed('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream'))
})
