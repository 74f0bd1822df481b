"""Followers and commands over connections that are cut at random."""

import asyncio

from twinrail import Event, Gap, Reset, TwinrailError

from .stage import CUT_URL, TestCase, control, ingest, logged, random_of


def seq(offset):
    return int(offset.split("-")[1])


class CutsTest(TestCase):
    async def cut_until(self, done, name):
        """Cuts all connections now and then, and lets others live for a few bytes only."""
        number = random_of(f"cuts of {name}")
        cuts = 0
        while not done.is_set():
            await asyncio.sleep(number.random() / 20)
            await control("cut-after", bytes=number.choice([50, 400, 3000, 30_000, "Infinity"]))
            await control("cut")
            cuts += 1
        await control("cut-after", bytes="Infinity")
        self.assertGreater(cuts, 10)

    async def test_followers(self):
        """every follower gets each event once and in order, folded or not"""
        count = 4000
        client = self.client(CUT_URL)
        direct = self.client()
        number = random_of("followers")
        await direct.session(self.session).create()
        done = asyncio.Event()

        async def follow(replay, pause):
            seen, data = 0, []
            async with client.session(self.session).events(replay=replay) as events:
                async for item in events:
                    self.assertNotIsInstance(item, (Gap, Reset))
                    if not isinstance(item, Event):
                        continue
                    self.assertEqual(seq(item.from_offset or item.offset), seen + 1)
                    seen = seq(item.offset)
                    data.append(item.data["delta"])
                    if seen % 500 == 0:
                        await asyncio.sleep(pause)
                    if seen == count + 2:
                        return "".join(data)

        async def append():
            started = {"type": "run.started", "runId": "r", "data": {"agent": "a", "input": None, "delta": ""}}
            text = {"type": "text.start", "runId": "r", "data": {"partId": "p", "delta": ""}}
            await ingest(self.session, [started, text])
            words = []
            while len(words) < count:
                batch = [f"{len(words) + i} é😀 " for i in range(min(20, count - len(words)))]
                delta = [
                    {"type": "text.delta", "runId": "r", "data": {"partId": "p", "delta": word}} for word in batch
                ]
                await ingest(self.session, delta)
                words += batch
                await asyncio.sleep(number.random() / 100)
            return "".join(words)

        cutting = asyncio.create_task(self.cut_until(done, "followers"))
        appending = asyncio.create_task(append())
        followers = [follow(replay, pause) for replay in ("full", "compact") for pause in (0, 0.05)]
        try:
            texts = await asyncio.gather(*followers)
        finally:
            done.set()
            await cutting
        self.assertEqual({len(text) for text in texts}, {len(await appending)})
        self.assertEqual(set(texts), {await appending})

    async def test_commands(self):
        """every command takes effect once, by WebSocket and by POST"""
        count = 150
        client, direct = self.client(CUT_URL), self.client()
        await direct.session(self.session).create()
        done = asyncio.Event()

        async def watch():
            async for _ in client.session(self.session).events():
                pass

        async def publish(n):
            # A command gives up after five attempts; its key makes another call safe.
            while True:
                try:
                    return await client.session(self.session).publish("x.n", n, key=f"k{n}")
                except TwinrailError as error:
                    self.assertTrue(error.retryable, error)

        watching = asyncio.create_task(watch())
        cutting = asyncio.create_task(self.cut_until(done, "commands"))
        try:
            acks = []
            for n in range(0, count, 10):
                acks += await asyncio.gather(*(publish(m) for m in range(n, n + 10)))
            runs = await asyncio.gather(*(self.start(client, n) for n in range(10)))
        finally:
            done.set()
            await cutting
            await client.aclose()
            await watching
        log = await logged(direct, self.session)
        published = {event.data: event.offset for event in log if event.type == "x.n"}
        self.assertEqual(len([event for event in log if event.type == "x.n"]), count)
        self.assertEqual(published, {n: ack["offset"] for n, ack in enumerate(acks)})
        started = [event.run_id for event in log if event.type == "run.started"]
        self.assertEqual(sorted(started), sorted(run.run_id for run in runs))

    async def start(self, client, n):
        while True:
            try:
                return await client.session(self.session).start("echo", n, run_id=f"r{n}")
            except TwinrailError as error:
                self.assertTrue(error.retryable, error)
