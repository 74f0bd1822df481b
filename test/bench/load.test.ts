import { constants, deflateRawSync } from 'node:zlib'
import t from 'tap'
import { Dechunker, Deframer, isCompressed, unwrap } from '../../bench/load/framing.ts'
import { Scanner } from '../../bench/load/scanner.ts'
import { chunk, frame } from '../../bench/peers/floor.ts'

const event = (seq: number, from?: number) =>
  JSON.stringify({
    offset: `1763812345678-${seq}`,
    type: 'text.delta',
    ...(from !== undefined && { from: `1763812345678-${from}` }),
    data: { delta: 'so {"it" goes ' },
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

function scan(events: string[], pieceSize: number): Scanner {
  const scanner = new Scanner()
  inPieces(Buffer.from(sse(events)), pieceSize, piece => scanner.push(piece))
  return scanner
}

t.test('the scanner sees each event once, cut anywhere', async t => {
  const events = Array.from({ length: 120 }, (_, i) => event(i + 1))
  for (let size = 1; size < 300; size++) {
    const { seq, faults } = scan(events, size)
    if (seq !== 120 || faults !== 0) t.fail(`pieces of ${size}: ${seq} and ${faults} faults`)
  }
  t.pass()
})

t.test('the scanner takes a fold for the events that it stands for, cut anywhere', async t => {
  for (let size = 1; size < 300; size++) {
    const { seq, faults, folds } = scan([event(1), event(9, 2), event(10)], size)
    if (seq !== 10 || faults !== 0 || folds !== 1) t.fail(`pieces of ${size}: ${faults} faults`)
  }
  t.pass()
})

t.test('the scanner finds holes, repeats and what is out of order', async t => {
  t.equal(scan([event(1), event(3)], 1000).faults, 1)
  t.equal(scan([event(1), event(1)], 1000).faults, 1)
  t.equal(scan([event(2), event(1), event(3)], 1000).faults, 2)
  t.equal(scan([event(1), event(9, 3)], 1000).faults, 1)
})

t.test('the scanner passes over control messages', async t => {
  const scanner = new Scanner()
  scanner.push(Buffer.from('event: caught-up\ndata: {"type":"caught-up","offset":"1763812345678-7"}\n\n'))
  t.equal(scanner.seq, -1)
})

t.test('chunks come off, cut anywhere', async t => {
  const bytes = Buffer.concat(['a', 'bc\r\nde', 'ü'.repeat(300)].map(chunk))
  for (const size of [1, 2, 3, 7, 1000]) {
    const out: Buffer[] = []
    const dechunker = new Dechunker(body => out.push(Buffer.from(body)))
    inPieces(bytes, size, piece => dechunker.push(piece))
    t.equal(Buffer.concat(out).toString(), `abc\r\nde${'ü'.repeat(300)}`)
  }
})

t.test('frames come off, cut anywhere', async t => {
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

t.test('a head tells whether the server compresses', async t => {
  t.ok(isCompressed('HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nvary: accept'))
  t.ok(isCompressed('HTTP/1.1 101 X\r\nSec-WebSocket-Extensions: permessage-deflate; x'))
  t.notOk(isCompressed('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream'))
})
