"""A server with a durable log is restarted while it is followed."""

import asyncio

from twinrail import Backoff, Event

from .stage import TestCase, control, ingest, logged


class RestartTest(TestCase):
    async def test_restarts(self):
        """followers go on at their cursor, commands are sent again"""
        client = self.client(backoff=Backoff(base_ms=500, cap_ms=4000))
        session = client.session(self.session)
        await ingest(self.session, [{"type": "x.n", "data": -1}])
        seen = []

        async def follow():
            async with session.events(replay="full") as events:
                async for item in events:
                    if isinstance(item, Event):
                        seen.append(item)
                    if isinstance(item, Event) and item.data == "last":
                        return

        following = asyncio.create_task(follow())
        for n in range(3):
            restarting = asyncio.create_task(control("restart"))
            for m in range(5):
                await session.publish("x.n", [n, m])
            await restarting
        await session.publish("x.n", "last")
        await following
        self.assertEqual(seen, await logged(client, self.session))
        self.assertEqual([event.data for event in seen[1:-1]], [[n, m] for n in range(3) for m in range(5)])
