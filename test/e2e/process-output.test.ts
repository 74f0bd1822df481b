/** Output of the server that nobody reads is bounded, and its errors end nothing. */
import { Writable } from 'node:stream'
import t from 'tap'
import { OUTPUT_BYTES, writeOutput } from '../../src/process-output.ts'

t.test('unread output above the bound is dropped', async t => {
  let taken = 0
  let release = () => {}
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      taken += chunk.length
      release = done
    },
  })
  const line = 'x'.repeat(10_000)
  for (let i = 0; i < 1000; i++) writeOutput(stream, line)
  t.ok(stream.writableLength <= OUTPUT_BYTES + line.length, `${stream.writableLength} bytes wait`)
  for (let before = -1; before < taken; ) {
    before = taken
    release()
    await new Promise(resolve => setImmediate(resolve))
  }
  t.ok(taken > OUTPUT_BYTES, 'what was kept arrives')
  writeOutput(stream, 'more')
  t.equal(stream.writableLength, 4, 'and it goes on once there is room')
})

t.test('a closed pipe is no error of the server', async t => {
  const stream = new Writable({
    write(_chunk, _encoding, done) {
      done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))
    },
  })
  for (let i = 0; i < 3; i++) {
    writeOutput(stream, 'text')
    await new Promise(resolve => setImmediate(resolve))
  }
  t.equal(stream.listenerCount('error'), 1, 'one listener, however often it is written to')
})
