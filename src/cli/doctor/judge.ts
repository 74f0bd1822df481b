/** Says of one connection whether it does what it should. */
import { type Delivery, deliveryOf } from './delivery.ts'
import type { Examination } from './examine.ts'
import { type Refusal, saidBy } from './http.ts'
import { type FaultCode, ms, type Row, type Way } from './report.ts'
import type { Sighting } from './sighting.ts'
import { median } from './time.ts'

/** A row of the report, and what is wrong where it does not work. */
export interface Judgement {
  row: Row
  fault?: FaultCode
}

export function judge(way: Way, wire: Sighting, seen: Examination, aheadMs: number): Judgement {
  const { roundTripMs } = seen.reached
  const delivery = deliveryOf(wire.heard, aheadMs, roundTripMs)
  const compressed = wire.headers['content-encoding']
  const facts = {
    ...(delivery && { delivery }),
    ...(typeof compressed === 'string' && compressed !== 'identity' && { compressed }),
  }
  const bad = (fault: FaultCode, says: string): Judgement => ({
    fault,
    row: { way, works: false, says, ...facts },
  })

  if (wire.refusal && wire.cutAt === undefined) {
    return way === 'websocket'
      ? bad('upgrade', refusedUpgrade(wire.refusal))
      : bad('blocked', `refused with ${saidBy(wire.refusal)}`)
  }
  if (wire.failure) return bad(way === 'websocket' && !wire.opened ? 'upgrade' : 'blocked', wire.failure)
  if (!delivery) return bad('blocked', 'it opens, but no word ever comes')
  // Pages gather events: those that come while a poll is on its way home wait for the next one.
  if (delivery.how === 'late' || (delivery.how === 'lumps' && way !== 'long-poll')) {
    const plain = deliveryOf(seen.beating.heard, aheadMs, roundTripMs)
    return 'compressed' in facts && plain?.how === 'live'
      ? bad('compressed', `${heldBack(delivery)}, by what compresses it (${facts.compressed})`)
      : bad('buffered', heldBack(delivery))
  }
  if (way === 'sse-post' && wire.cutAt !== undefined) return bad('blocked', 'cut before the run had ended')
  const missing = missed(way, wire, seen)
  if (missing > 0) return bad('blocked', `${missing} of ${seen.published.length} events never came`)
  return { row: { way, works: true, says: praise(way, delivery, seen), ...facts } }
}

/** The server says by itself that it got no upgrade. */
function refusedUpgrade(refusal: Refusal): string {
  return /stripped/.test(refusal.line)
    ? 'the upgrade is stripped on the way: the server got a plain GET'
    : `the upgrade is refused with ${saidBy(refusal)}`
}

function heldBack({ how, worstMs }: Delivery): string {
  return how === 'late'
    ? `held back, by up to ${ms(worstMs)}`
    : 'held back: what is sent one by one comes in lumps'
}

/** Events that were published and never came, though the connection was there; a run's stream has its own. */
function missed(way: Way, wire: Sighting, { published }: Examination): number {
  if (way === 'sse-post' || wire.cutAt !== undefined) return 0
  const came = new Set(wire.offsets)
  return published.filter(({ offset }) => !came.has(offset)).length
}

function praise(way: Way, { medianMs, worstMs }: Delivery, { websocket, longPoll }: Examination): string {
  const live = `events come after ${ms(medianMs)}, at the latest after ${ms(worstMs)}`
  if (way === 'websocket') {
    const deflate = websocket.deflated ? '; permessage-deflate' : ''
    return `${live}; round trip ${ms(median(websocket.roundTripsMs))}${deflate}`
  }
  return way === 'long-poll' && longPoll.heldMs > 0
    ? `${live}; a poll is held for ${ms(longPoll.heldMs)}`
    : live
}
