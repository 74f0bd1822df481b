/** The wheel of heartbeats on a clock that the test moves. */
import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { Heartbeats } from '../../src/transports/heartbeat.ts'

class Clock extends Heartbeats {
  time = 10_000
  override now(): number {
    return this.time
  }
}

/** A clock, and connections on it that note when they are looked at. */
function wheel(t: Test) {
  mock.timers.enable({ apis: ['setInterval'] })
  const clock = new Clock()
  t.teardown(() => {
    clock.close()
    mock.timers.reset()
  })
  return {
    clock,
    /** Lets time pass in steps of 10 ms, the wheel's timer with it. */
    pass(ms: number): void {
      for (let step = 0; step < ms / 10; step++) {
        clock.time += 10
        mock.timers.tick(10)
      }
    },
    /** @param pings whether a beat writes */
    connection(heartbeatMs: number, pings = true) {
      const beats: number[] = []
      return {
        wroteAt: clock.now(),
        heartbeatMs,
        beats,
        beat() {
          beats.push(clock.now() - 10_000)
          if (pings) this.wroteAt = clock.now()
        },
      }
    },
  }
}

t.test('an idle connection beats once for each heartbeat, a quarter of a second late at most', async t => {
  const { clock, pass, connection } = wheel(t)
  const [one, two] = [connection(1000), connection(2500)]
  clock.add(one)
  pass(130)
  clock.add(two)
  pass(7000)
  for (const [{ beats, heartbeatMs }, count] of [
    [one, [5, 7]],
    [two, [2, 3]],
  ] as const) {
    t.ok(beats.length >= count[0] && beats.length <= count[1], `${beats}`)
    let last = 0
    for (const at of beats) {
      t.ok(at - last >= heartbeatMs && at - last <= heartbeatMs + 500, `${at} after ${last}`)
      last = at
    }
  }
})

t.test('a connection that is due at a tick beats in this tick', async t => {
  const { clock, pass, connection } = wheel(t)
  const one = connection(1000)
  clock.add(one)
  pass(1500)
  t.same(one.beats, [1000])
})

t.test('a busy connection is looked at about once for each heartbeat', async t => {
  const { clock, pass, connection } = wheel(t)
  const busy = connection(1000)
  let looks = 0
  clock.add({
    ...busy,
    get wroteAt() {
      looks++
      return clock.now()
    },
  })
  pass(10_000)
  // Each look reads the time of the last write twice.
  t.ok(looks >= 10 && looks <= 25, `${looks}`)
})

t.test('one that is written to is not looked at before it has been silent as long', async t => {
  const { clock, pass, connection } = wheel(t)
  const busy = connection(1000)
  clock.add(busy)
  for (let n = 0; n < 20; n++) {
    pass(500)
    busy.wroteAt = clock.lately
  }
  t.same(busy.beats, [])
  const silentFrom = clock.now() - 10_000
  pass(1500)
  t.equal(busy.beats.length, 1)
  t.ok((busy.beats[0] as number) >= silentFrom + 1000)
})

t.test('a connection whose heartbeat writes nothing is checked again at every tick', async t => {
  const { clock, pass, connection } = wheel(t)
  const stalled = connection(1000, false)
  clock.add(stalled)
  pass(2000)
  t.ok(stalled.beats.length >= 4, `${stalled.beats}`)
  t.equal(new Set(stalled.beats).size, stalled.beats.length)
})

t.test('a removed connection is not checked, and without connections the wheel stops', async t => {
  const { clock, pass, connection } = wheel(t)
  const [gone, stays] = [connection(1000), connection(1000)]
  clock.add(gone)
  clock.add(stays)
  clock.remove(gone)
  clock.remove(gone)
  pass(1500)
  t.same(gone.beats, [])
  t.equal(stays.beats.length, 1)
  clock.remove(stays)
  const { lately } = clock
  t.equal(lately, clock.now(), 'nothing ticks')
  pass(2000)
  t.equal(stays.beats.length, 1)
  stays.wroteAt = clock.now()
  clock.add(stays)
  pass(1500)
  t.equal(stays.beats.length, 2, 'and it turns again with the next')
})

t.test('a heartbeat that was changed counts from the last write', async t => {
  const { clock, pass, connection } = wheel(t)
  const one = connection(60_000)
  clock.add(one)
  pass(500)
  one.heartbeatMs = 1000
  clock.add(one)
  pass(800)
  t.equal(one.beats.length, 1)
  t.ok((one.beats[0] as number) >= 1000)
})

t.test('a late turn checks every connection that is due', async t => {
  const { clock, connection } = wheel(t)
  const due = [300, 1000, 1700, 2900].map(ms => connection(ms))
  const later = connection(9000)
  for (const one of [...due, later]) clock.add(one)
  clock.time += 3500
  mock.timers.tick(250)
  for (const one of due) t.same(one.beats, [], 'not before the sockets were read')
  await new Promise(resolve => setImmediate(resolve))
  for (const one of due) t.equal(one.beats.length, 1, `${one.heartbeatMs}`)
  t.same(later.beats, [])
})

t.test('a beat may remove its own connection and others', async t => {
  const { clock, pass, connection } = wheel(t)
  const [first, second, third] = [connection(1000), connection(1000), connection(1000)]
  const beat = first.beat
  first.beat = function () {
    beat.call(this)
    clock.remove(first)
    clock.remove(second)
  }
  for (const one of [first, second, third]) clock.add(one)
  pass(5000)
  t.equal(first.beats.length, 1)
  t.same(second.beats, [])
  t.ok(third.beats.length >= 3)
})

t.test('a beat may add its own connection with another heartbeat', async t => {
  const { clock, pass, connection } = wheel(t)
  const one = connection(1000)
  const beat = one.beat
  one.beat = function () {
    beat.call(this)
    if (this.beats.length > 1) return
    this.heartbeatMs = 2000
    // What is due at once must not be lost either.
    this.wroteAt -= 3000
    clock.add(this)
  }
  clock.add(one)
  pass(6000)
  t.ok(one.beats.length >= 3, `${one.beats}`)
})

t.test('the time of a write is that of the tick, so that many writes ask no clock', async t => {
  const { clock, pass, connection } = wheel(t)
  clock.time = 10_130
  clock.add(connection(60_000))
  t.equal(clock.lately, 10_250)
  for (let n = 0; n < 20; n++) {
    pass(70)
    t.ok(Math.abs(clock.lately - clock.now()) <= 250, `${clock.lately} at ${clock.now()}`)
    t.equal(clock.lately % 250, 0)
  }
})

t.test('what beats share is made once in each turn, and anew in the next one', async t => {
  const { clock, pass } = wheel(t)
  const key = {}
  const seen: number[] = []
  let made = 0
  for (const id of [1, 2]) {
    clock.add({
      wroteAt: clock.now() + id,
      heartbeatMs: 1000,
      beat() {
        seen.push(clock.ofTurn(key, () => ++made))
      },
    })
  }
  pass(1250)
  t.same(seen, [1, 1])
  pass(250)
  t.same(seen, [1, 1, 2, 2])
})
