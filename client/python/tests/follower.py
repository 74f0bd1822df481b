"""A follower: order, cursors, gaps, backpressure, and how it ends."""

import asyncio
import gc

from twinrail import Backoff, CaughtUp, End, Event, Gap, Reset, TwinrailError

from .stage import COUNTED_URL, TestCase, collect, control, events_of, ingest, logged, random_of, until


def x(n, **more):
    return {"type": "x.n", "data": n, **more}


class FollowerTest(TestCase):
    async def test_backlog_and_live(self):
        """the backlog, then live events, each as the log has it"""
        client = self.client()
        await ingest(self.session, [x(n) for n in range(5)])
        seen = []
        async with client.session(self.session).events() as events:
            async for item in events:
                seen.append(item)
                if isinstance(item, CaughtUp):
                    await ingest(self.session, [x(5), x("é😀")])
                if isinstance(item, Event) and item.data == "é😀":
                    break
        self.assertEqual([type(item) for item in seen], [Event] * 5 + [CaughtUp] + [Event] * 2)
        self.assertEqual(events_of(seen), await logged(client, self.session))
        self.assertEqual(events.offset, seen[-1].offset)
        self.assertEqual((seen[0].by, seen[0].session_id), ("local", self.session))

    async def test_after_and_last(self):
        """delivery starts after a cursor, before the head, or at the head"""
        client = self.client()
        session = client.session(self.session)
        await ingest(self.session, [x(n) for n in range(5)])
        log = await logged(client, self.session)

        async def backlog(**options):
            async with session.events(**options) as events:
                data = []
                async for item in events:
                    if isinstance(item, CaughtUp):
                        return data
                    data.append(item.data)

        self.assertEqual(await backlog(after=log[1].offset), [2, 3, 4])
        self.assertEqual(await backlog(last=1), [4])
        self.assertEqual(await backlog(replay="none"), [])
        with self.assertRaises(TwinrailError) as caught:
            await backlog(after="not an offset")
        self.assertCode(caught, "bad-request")

    async def test_run(self):
        """a run's stream ends with the run; its text, its end and its events agree"""
        client = self.client()
        run = await client.session(self.session).start("playback", {"count": 200, "rate": 0, "seed": 3})
        items, text, terminal = await asyncio.gather(
            collect(run.events()), collect(run.text()), run.done()
        )
        self.assertIsInstance(items[-1], End)
        self.assertEqual((items[-1].reason, items[-1].run_id), ("run-ended", run.run_id))
        self.assertTrue(events_of(items)[-1].terminal)
        self.assertEqual(events_of(items)[-1], terminal)
        deltas = [event.data["delta"] for event in events_of(items) if event.type == "text.delta"]
        self.assertEqual("".join(deltas), "".join(text))
        self.assertEqual(await collect(run.events(after=terminal.offset)), [items[-1]])

    async def test_missing(self):
        """a session or a run that does not exist is refused, unless the session is to be created"""
        session = self.client().session(self.session)
        with self.assertRaises(TwinrailError) as caught:
            await anext(session.events())
        self.assertCode(caught, "session-not-found")
        async with session.events(create=True) as events:
            self.assertIsInstance(await anext(events), CaughtUp)
        with self.assertRaises(TwinrailError) as caught:
            await anext(session.events(run="none"))
        self.assertCode(caught, "run-not-found")

    async def test_reset(self):
        """a cursor of another log gets a reset, then the log from its beginning"""
        client = self.client()
        session = client.session(self.session)
        await ingest(self.session, [x(n) for n in range(5)])
        old = (await logged(client, self.session))[-1].offset
        await session.delete()
        await ingest(self.session, [x("new")])
        async with session.events(after=old) as events:
            first = await anext(events)
            self.assertIsInstance(first, Reset)
            self.assertEqual(first.reason, "epoch")
            self.assertEqual((await anext(events)).data, "new")

    async def test_gap(self):
        """what was trimmed is told as a gap, up to the first event that comes"""
        client = self.client()
        for start in range(0, 3000, 500):
            await ingest(self.session, [x(n) for n in range(start, start + 500)])
        session = client.session(self.session)
        while (await session.state())["earliest"].endswith("-1"):
            await asyncio.sleep(0.01)
        async with session.events() as events:
            gap, first = await anext(events), await anext(events)
        self.assertIsInstance(gap, Gap)
        self.assertEqual(gap.reason, "trimmed")
        self.assertTrue(gap.from_offset.endswith("-1"))
        seq = int(first.offset.split("-")[1])
        self.assertEqual(int(gap.to_offset.split("-")[1]), seq - 1)
        self.assertEqual(first.data, seq - 1)

    async def test_deleted(self):
        """the stream of a session that is deleted ends"""
        client = self.client()
        session = client.session(self.session)
        await ingest(self.session, [x(0)])
        async with session.events() as events:
            items = [await anext(events), await anext(events)]
            await session.delete()
            items += await collect(events)
        self.assertEqual([item.type for item in items], ["x.n", "caught-up", "end"])
        self.assertEqual(items[-1].reason, "deleted")

    async def test_ephemeral(self):
        """ephemeral events arrive without an offset, and do not move the cursor"""
        session = self.client().session(self.session)
        async with session.events(create=True) as events:
            offset = (await anext(events)).offset
            self.assertNotIn("offset", await session.publish("x.typing", 1, ephemeral=True))
            event = await anext(events)
            self.assertTrue(event.ephemeral)
            self.assertEqual((event.type, event.data, events.offset), ("x.typing", 1, offset))

    async def test_cancelled_wait(self):
        """cancelling the wait for an event loses none"""
        session = self.client().session(self.session)
        next_number = random_of("cancelled waits")
        async with session.events(create=True) as events:
            await anext(events)
            appending = asyncio.create_task(self.append_slowly(300, next_number))
            seen = []
            while len(seen) < 300:
                try:
                    seen.append((await asyncio.wait_for(anext(events), next_number.random() / 200)).data)
                except asyncio.TimeoutError:
                    pass
            await appending
        self.assertEqual(seen, list(range(300)))

    async def append_slowly(self, count, next_number):
        for n in range(0, count, 3):
            await ingest(self.session, [x(n), x(n + 1), x(n + 2)])
            await asyncio.sleep(next_number.random() / 500)

    async def test_two_waits(self):
        """two tasks cannot wait for one stream"""
        session = self.client().session(self.session)
        async with session.events(create=True) as events:
            await anext(events)
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            with self.assertRaises(RuntimeError):
                await anext(events)
            await events.aclose()
            with self.assertRaises(StopAsyncIteration):
                await waiting

    async def test_shared_socket(self):
        """streams of several sessions share a socket; of one session they do not"""
        client = self.client()
        pool = client._connection.sockets
        sessions = [client.session(f"{self.session}.{n}") for n in range(20)]
        streams = [session.events(create=True) for session in sessions]
        await asyncio.gather(*(anext(events) for events in streams))
        self.assertEqual(len(pool._sockets), 1)
        second = sessions[0].events()
        await anext(second)
        self.assertEqual(len(pool._sockets), 2)
        await asyncio.gather(*(session.publish("x.n", n) for n, session in enumerate(sessions)))
        self.assertEqual([(await anext(events)).data for events in streams], list(range(20)))
        self.assertEqual((await anext(second)).data, 0)
        for events in [*streams, second]:
            await events.aclose()
        self.assertEqual(len(pool._sockets), 0, "a socket without streams is closed")

    async def test_dropped(self):
        """a stream that is left with `break` frees its subscription"""
        client = self.client()
        await ingest(self.session, [x(0), x(1)])
        async for _ in client.session(self.session).events():
            break
        gc.collect()
        await until(lambda: not client._connection.sockets._sockets)

    async def test_closed_client(self):
        """closing the client ends streams without an error, also those that wait"""
        client = self.client()
        session = client.session(self.session)
        waiting = asyncio.ensure_future(collect(session.events(create=True)))
        await until(lambda: client._connection.sockets.ready)
        await client.aclose()
        self.assertLessEqual({type(item) for item in await waiting}, {CaughtUp})
        with self.assertRaises(TwinrailError) as caught:
            await session.publish("x.n")
        self.assertCode(caught, "closed")
        self.assertEqual(await collect(session.events()), [])
        self.assertEqual([task.get_name() for task in asyncio.all_tasks() if "socket" in task.get_name()], [])

    async def test_unreachable(self):
        """a server that is not there is tried again as often as the backoff says"""
        waits = []
        backoff = Backoff(base_ms=1, attempts=3, random=lambda: waits.append(1) or 1)
        client = self.client("http://127.0.0.1:9", backoff=backoff)
        events = client.session("s").events()
        with self.assertRaises(TwinrailError) as caught:
            await anext(events)
        self.assertCode(caught, "connection-lost")
        self.assertEqual(len(waits), 3)
        self.assertEqual(await collect(events), [], "it has ended")

    async def test_closed_while_it_waits(self):
        """closing a stream or a client ends a wait before a reconnect"""
        client = self.client("http://127.0.0.1:9", backoff=Backoff(base_ms=10**9, cap_ms=10**9))
        events, other = client.session("s").events(), client.session("t").events()
        waiting = [asyncio.ensure_future(collect(stream)) for stream in (events, other)]
        publishing = asyncio.ensure_future(client.session("s").publish("x.n"))
        await until(lambda: events._failures and other._failures)
        await events.aclose()
        self.assertEqual(await waiting[0], [])
        await client.aclose()
        self.assertEqual(await waiting[1], [])
        with self.assertRaises(TwinrailError):
            await publishing


class BackpressureTest(TestCase):
    async def test_slow_consumer(self):
        """a consumer that stops holds the server back, and gets everything when it goes on"""
        client = self.client(COUNTED_URL)
        number = random_of("backpressure")
        size = 20_000
        events = [x(number.randbytes(size // 2).hex()) for _ in range(900)]
        for start in range(0, 900, 30):
            await ingest(self.session, events[start : start + 30])
        async with client.session(self.session).events(replay="full") as stream:
            first = await anext(stream)
            before = -1
            while before != (received := await control("received")):
                before = received
                await asyncio.sleep(0.3)
            # The window, the event that may exceed it, and messages of the connection.
            self.assertLess(received, 256 * 1024 + 2 * size)
            inbox = stream._subscription._inbox_bytes
            self.assertLess(inbox, 256 * 1024 + 2 * size)
            seen = [first.data]
            largest = inbox
            while len(seen) < 900:
                item = await anext(stream)
                if isinstance(item, Event):
                    seen.append(item.data)
                largest = max(largest, stream._subscription._inbox_bytes)
        self.assertEqual(seen, [event["data"] for event in events])
        self.assertLess(largest, 256 * 1024 + 2 * size)

    async def test_large_events(self):
        """events larger than the window arrive one by one"""
        client = self.client()
        for n in range(4):
            await ingest(self.session, [x(str(n) * 900_000)])
        async with client.session(self.session).events() as events:
            data = [(await anext(events)).data for _ in range(4)]
        self.assertEqual([text[0] for text in data], ["0", "1", "2", "3"])

    async def test_others_go_on(self):
        """a stream that is not read does not hold another stream of its socket"""
        client = self.client()
        slow, fast = f"{self.session}.slow", f"{self.session}.fast"
        await ingest(fast, [x(0)])
        for n in range(20):
            await ingest(slow, [x(str(n) * 100_000)])
        async with client.session(slow).events() as held, client.session(fast).events() as events:
            await anext(held)
            await anext(events), await anext(events)
            await client.session(fast).publish("x.n", 1)
            self.assertEqual((await anext(events)).data, 1)
            self.assertEqual(len(client._connection.sockets._sockets), 1)


