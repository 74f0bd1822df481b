import fc from 'fast-check'
import t from 'tap'
import { Cursor } from '../../client/connection/cursor.ts'
import type { Message } from '../../client/index.ts'
import { deltas } from './fake.ts'

const event = (offset: string, from?: string): Message => {
  const [base] = deltas(1)
  return { kind: 'event', event: { ...base, offset, ...(from && { from }) } } as unknown as Message
}
const control = (message: object): Message =>
  ({ kind: 'control', control: { sessionId: 's1', ...message } }) as Message

t.test('takes each offset once, folded or not', async t => {
  const cursor = new Cursor('5-2', true)
  t.equal(cursor.take(event('5-2')), false)
  t.equal(cursor.take(event('5-3')), true)
  t.equal(cursor.take(event('5-9', '5-4')), true)
  t.equal(cursor.take(event('5-9', '5-4')), false)
  t.equal(cursor.take(event('5-7')), false)
  t.equal(cursor.offset, '5-9')
})

t.test('refuses holes, overlapping folds and another log', async t => {
  const cursor = new Cursor('5-2', true)
  for (const wrong of [event('5-4'), event('5-9', '5-2'), event('5-9', '5-4'), event('6-3')]) {
    t.throws(() => cursor.take(wrong), { code: 'out-of-step', retryable: true })
  }
  t.equal(cursor.offset, '5-2')
})

t.test('expects holes on a run’s stream', async t => {
  const cursor = new Cursor('5-2', false)
  t.equal(cursor.take(event('5-8', '5-6')), true)
  for (const from of ['5-7', '5-8']) {
    const message = `${from} came after 5-8`
    t.throws(() => cursor.take(event('5-12', from)), { code: 'out-of-step', message })
  }
  t.throws(() => cursor.take(event('6-12')), { code: 'out-of-step', message: '6-12 came after 5-8' })
  t.equal(cursor.offset, '5-8')
})

t.test('moves over a gap', async t => {
  const cursor = new Cursor('5-2', true)
  cursor.take(control({ type: 'gap', from: '5-3', to: '5-10', reason: 'trimmed' }))
  t.equal(cursor.take(event('5-11')), true)
})

t.test('a control message moves it ahead, never back', async t => {
  const ahead = [
    control({ type: 'subscribed', head: '5-9', earliest: '5-1', after: '5-4', replay: 'full' }),
    control({ type: 'caught-up', offset: '5-4' }),
    control({ type: 'gap', from: '5-3', to: '5-4', reason: 'lag' }),
  ]
  for (const message of ahead) {
    const { type } = (message as { control: { type: string } }).control
    for (const [after, offset] of [
      [undefined, '5-4'],
      ['5-2', '5-4'],
      ['5-4', '5-4'],
      ['5-7', '5-7'],
      ['4-7', '5-4'],
    ] as const) {
      const cursor = new Cursor(after, true)
      t.equal(cursor.take(message), true)
      t.equal(cursor.offset, offset, `${type} after ${after}`)
    }
  }
  const cursor = new Cursor('5-2', true)
  t.equal(cursor.take(control({ type: 'bye', offset: '5-4', after: '5-4', to: '5-4', head: '5-4' })), true)
  t.equal(cursor.offset, '5-2', 'other control messages do not move it')
})

t.test('starts where the server says: replay=none survives a cut before the first event', async t => {
  const cursor = new Cursor(undefined, true)
  cursor.take(control({ type: 'subscribed', head: '5-7', earliest: '5-1', after: '5-7', replay: 'none' }))
  t.equal(cursor.offset, '5-7')
})

t.test('a reset voids the cursor', async t => {
  await t.test('of another log, right after subscribed', async t => {
    const cursor = new Cursor('5-9', true)
    cursor.take(
      control({ type: 'subscribed', head: '6-3', earliest: '6-1', after: '6-0', replay: 'compact' }),
    )
    cursor.take(control({ type: 'reset', reason: 'epoch', head: '6-3' }))
    t.equal(cursor.offset, '6-0')
    t.equal(cursor.take(event('6-1')), true)
  })
  await t.test('past the head', async t => {
    const cursor = new Cursor('5-9', true)
    cursor.take(
      control({ type: 'subscribed', head: '5-3', earliest: '5-1', after: '5-0', replay: 'compact' }),
    )
    cursor.take(control({ type: 'reset', reason: 'ahead', head: '5-3' }))
    t.equal(cursor.take(event('5-1')), true)
  })
  await t.test('keeps the start of the connection while the new log reaches as far', async t => {
    for (const [head, offset] of [
      ['5-5', '5-4'],
      ['5-4', '5-4'],
      ['5-3', undefined],
      ['6-5', undefined],
    ] as const) {
      const cursor = new Cursor(undefined, true)
      cursor.take(control({ type: 'subscribed', head: '5-9', earliest: '5-1', after: '5-4', replay: 'full' }))
      cursor.take(control({ type: 'reset', reason: 'lost', head }))
      t.equal(cursor.offset, offset, `up to ${head}`)
    }
    const cursor = new Cursor('5-2', true)
    cursor.take(control({ type: 'reset', reason: 'lost', head: '5-5' }))
    t.equal(cursor.offset, undefined, 'without a start')
  })
  await t.test('in the middle of a stream', async t => {
    const cursor = new Cursor(undefined, true)
    cursor.take(
      control({ type: 'subscribed', head: '5-3', earliest: '5-1', after: '5-0', replay: 'compact' }),
    )
    cursor.take(event('5-1'))
    cursor.take(control({ type: 'reset', reason: 'lost', head: '6-0' }))
    t.equal(cursor.offset, undefined)
    t.equal(cursor.take(event('6-1')), true)
  })
})

t.test('passes ephemeral events by', async t => {
  const cursor = new Cursor('5-2', true)
  const ephemeral = { sessionId: 's1', type: 'x.cursor', time: 1, ephemeral: true, data: {} }
  t.equal(cursor.take({ kind: 'event', event: ephemeral } as Message), true)
  t.equal(cursor.offset, '5-2')
})

t.test('a malformed offset is a protocol error with the offset in its message', async t => {
  t.throws(() => new Cursor(undefined, true).take(event('five')), {
    code: 'protocol-error',
    message: 'The server sent a malformed offset: five',
    retryable: false,
  })
})

t.test('any cuts and repetitions give every event once', async t => {
  fc.assert(
    fc.property(fc.array(fc.record({ back: fc.nat(5), sent: fc.nat(8) })), connections => {
      const cursor = new Cursor('5-0', true)
      const taken: number[] = []
      for (const { back, sent } of connections) {
        const first = Math.max(1, Number(cursor.offset!.slice(2)) + 1 - back)
        for (let seq = first; seq < first + sent; seq += 1)
          if (cursor.take(event(`5-${seq}`))) taken.push(seq)
      }
      return taken.every((seq, i) => seq === i + 1)
    }),
  )
  t.pass('for every order')
})
