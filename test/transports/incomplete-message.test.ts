/** What ws keeps of an incomplete message is counted, and dropped at once when the message is given up. */
import type { Writable } from 'node:stream'
import t from 'tap'
import * as ws from 'ws'
import { dropIncomplete, incompleteBytes } from '../../src/transports/incomplete-message.ts'

type WebSocket = ws.WebSocket

// ws exports it, its types do not.
const { Receiver } = ws as unknown as { Receiver: new (options: object) => Writable }

/** A receiver that has got the first pieces of a text frame of a megabyte, masked with zeros, and the socket around it. */
function receiving(pieces: readonly Buffer[], extensions = '') {
  const receiver = new Receiver({ isServer: true, maxPayload: 1024 * 1024 })
  receiver.write(Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0]))
  for (const piece of pieces) receiver.write(piece)
  return { receiver, socket: { _receiver: receiver, extensions } as unknown as WebSocket }
}

const large = () => Buffer.allocUnsafeSlow(64 * 1024).fill(' ')

t.test('a message takes twice its bytes', async t => {
  t.equal(incompleteBytes({ extensions: '' } as WebSocket), 0, 'a socket that is not open yet')
  const { socket } = receiving([large(), large()])
  const bytes = incompleteBytes(socket)
  t.ok(bytes > 4 * 64 * 1024 && bytes < 4 * 64 * 1024 + 2000, `${bytes} bytes`)
})

t.test('the memory of a dropped message is taken from it', async t => {
  const whole = large()
  const rest = large().subarray(100)
  const pooled = Buffer.from('pooled')
  const { socket, receiver } = receiving([whole, rest, pooled])
  dropIncomplete(socket)
  t.equal(whole.length, 0)
  t.equal(rest.length, 0)
  t.equal(pooled.toString(), 'pooled', 'but not that of others')
  t.equal(incompleteBytes(socket), 0)
  let messages = 0
  receiver.on('message', () => messages++)
  receiver.write(large())
  t.equal(messages, 0, 'ws can take what was on its way')
})

t.test('bytes that may be inflated stay where they are', async t => {
  const piece = large()
  dropIncomplete(receiving([piece], 'permessage-deflate').socket)
  t.equal(piece.length, 64 * 1024)
})
