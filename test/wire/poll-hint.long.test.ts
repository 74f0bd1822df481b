/** However many clients follow the list of sessions, a node answers about as many lists. */
import t from 'tap'
import { PollHint } from '../../src/routes/poll-hint.ts'

/** So many clients that follow the hint for some minutes: lists per second at the end. */
function settled(clients: number): number {
  let now = 0
  const hint = new PollHint(() => now)
  const due = Array.from({ length: clients }, (_, i) => (i * 5000) / clients)
  let late = 0
  const end = 600_000
  for (; now < end; now += 10) {
    for (const [i, at] of due.entries()) {
      if (at > now) continue
      due[i] = at + hint.asked()
      if (now >= end - 60_000) late++
    }
  }
  return late / 60
}

t.test('few clients ask every five seconds, many less often', t => {
  t.equal(Math.round(settled(10)), 2)
  const many = settled(2000)
  t.ok(many < 75, `${many} lists per second`)
  t.ok(many > 20, `${many} lists per second`)
  t.end()
})
