/** A page that waits for events, without sockets: what comes between its reading and its waiting. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { Bus } from '../../src/bus/bus.ts'
import { Journal } from '../../src/bus/journal.ts'
import type { EventLog } from '../../src/log/log.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { Presence } from '../../src/presence/presence.ts'
import { readPage } from '../../src/transports/long-poll-page.ts'
import { SharedPages } from '../../src/transports/shared-pages.ts'

for (const isFollowed of [false, true]) {
  t.test(
    `an event that comes between reading and waiting ends the wait, followed: ${isFollowed}`,
    async t => {
      const log = createMemoryLog()
      let between = async () => {}
      const slow: EventLog = {
        ...log,
        async read(...args) {
          const page = await log.read(...args)
          await between()
          return page
        },
      }
      const journal = new Journal(slow)
      const presence = new Presence(journal)
      const bus = new Bus(journal, { peers: presence })
      await journal.create('s', {})
      if (isFollowed) t.teardown(await bus.follow('s'))
      between = async () => {
        between = async () => {}
        await journal.append('s', [{ type: 'x.n', data: 1 }])
      }
      const patience = new AbortController()
      const options = { after: undefined, last: undefined, run: undefined, replay: 'full' } as const
      const reading = readPage(
        { journal, bus, presence, pages: new SharedPages() },
        { sessionId: 's', options, waitMs: 20_000, signal: patience.signal },
      )
      for (let turn = 0; turn < 50; turn++) await nextTurn()
      patience.abort()
      t.same(
        (await reading).events.map(({ seq }) => seq),
        [1],
      )
    },
  )
}
