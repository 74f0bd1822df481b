import t from 'tap'
import * as wire from '../../client/protocol.ts'
import { deltaParts, eventData, isTerminal, parseOffset } from '../../src/protocol/index.ts'

t.test('knows offsets, terminals and deltas as the protocol does', async t => {
  for (const offset of ['7-1', '7-0', '0-1', '07-1', '7-01', '7', '', '7-1 ', '9007199254740991-12']) {
    t.same(wire.parseOffset(offset), parseOffset(offset), offset)
  }
  for (const type of Object.keys(eventData)) t.equal(wire.isTerminal(type), isTerminal(type), type)
  t.same(wire.deltaParts, deltaParts)
})
