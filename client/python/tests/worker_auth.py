"""The credentials of workers."""

import asyncio
import time

from twinrail import Token, TwinrailError, Worker, agent

from .stage import QUICK, TestCase, URL, control, until


@agent("py-long")
async def long(input, run):
    """Counts slowly, until it is told to stop."""
    n = 0
    while not input or n < input:
        yield {"type": "x.n", "data": n}
        n += 1
        await asyncio.sleep(0.05)


class WorkerAuthTest(TestCase):
    def test_no_generator(self):
        """a function without a yield is no agent, which is told at once"""

        async def forgetful(input, run):
            pass

        with self.assertRaisesRegex(TypeError, "agent forgetful: .*yield"):
            agent("forgetful")(forgetful)

    def work(self, auth):
        task = asyncio.create_task(Worker(URL, [long], auth=auth, backoff=QUICK).run())

        async def stop():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self.addAsyncCleanup(stop)
        return task

    def auth(self, **query):
        async def auth():
            auth.calls += 1
            return await control("token", **{"sub": self.session[-40:], "seconds": 600, "delay": 0, **query})

        auth.calls = 0
        return auth

    async def started(self, input=None):
        client = self.client(auth=self.auth())
        while "py-long" not in {agent["name"] for agent in await client.agents()}:
            await asyncio.sleep(0.01)
        return await client.session(self.session).start("py-long", input)

    async def test_refused(self):
        """without credentials, and without the right for its agent, a worker ends with the refusal"""
        with self.assertRaises(TwinrailError) as caught:
            await self.work(None)
        self.assertCode(caught, "unauthorized")
        with self.assertRaises(TwinrailError) as caught:
            await self.work(self.auth(allow="read,produce"))
        self.assertCode(caught, "forbidden")

    async def test_allowed(self):
        """the rights `produce` and `work:<agent>` are enough"""
        self.work(self.auth(sub="worker", allow="produce,work:py-long"))
        run = await self.started(3)
        self.assertEqual((await run.done()).type, "run.completed")

    async def test_renewed(self):
        """a token is renewed while a run is executed, which goes on"""
        auth = self.auth(sub="worker", allow="produce,work:py-long", seconds=3)

        async def expiring():
            return Token(await auth(), int((time.time() + 3) * 1000))

        task = self.work(expiring)
        run = await self.started(100)
        await until(lambda: auth.calls >= 3 or task.done())
        last = await run.done()
        self.assertEqual(last.type, "run.completed", last)
        page = await self.client(auth=self.auth()).session(self.session).page(run=run.run_id, replay="full")
        self.assertEqual([e.data for e in page.events if e.type == "x.n"], list(range(100)))
