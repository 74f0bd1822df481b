"""Workers on two nodes of one log, and workers that die: leases are short here."""

import asyncio
import os

from twinrail import Worker, agent

from .stage import QUICK, TestCase, URL, collect, events_of

OTHER_URL = os.environ.get("TWINRAIL_OTHER_URL", URL)
"""The second node."""

began = []


@agent("py-again", input={"type": "object", "required": ["to"]}, resume=True)
async def again(input, run):
    """Asks, then counts; goes on where another worker has left off."""
    began.append((run.run_id, run.resumed))
    done = 0
    if run.resumed:
        page = await run.session.page(run=run.run_id)
        done = len([event for event in page.events if event.type == "x.n"])
    answer = await run.ask("May I?", request_id="may-i", schema={"type": "boolean"})
    for n in range(done, input["to"]):
        await run.append({"type": "x.n", "data": n})
        if n == input.get("hold"):
            input["hold"] = None
            await asyncio.Event().wait()
    run.result = {"allowed": answer.value}
    yield {"type": "x.end", "data": None}


@agent("py-quick")
async def quick(input, run):
    """Says its input."""
    yield {"type": "x.said", "data": input}


AGENTS = [again, quick]


class WorkerNodesTest(TestCase):
    def work(self, url):
        """Starts a worker; gives what kills it."""
        task = asyncio.create_task(Worker(url, AGENTS, slots=2, backoff=QUICK).run())

        async def stop():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self.addAsyncCleanup(stop)
        return stop

    async def known(self, url):
        """Resolves when the node knows the agents."""
        client = self.client(url)
        while "py-quick" not in {agent["name"] for agent in await client.agents()}:
            await asyncio.sleep(0.01)

    async def test_other_node(self):
        """a run that is started on one node reaches a worker at the other"""
        self.work(OTHER_URL)
        await self.known(URL)
        for n, url in enumerate((URL, OTHER_URL)):
            run = await self.client(url).session(f"{self.session}-{n}").start("py-quick", n)
            events = events_of(await collect(run.events()))
            self.assertEqual([e.data for e in events if e.type == "x.said"], [n])
            self.assertEqual(events[-1].type, "run.completed")

    async def test_resume(self):
        """a worker that dies is replaced by another one, at another node, which does nothing twice"""
        kill = self.work(URL)
        await self.known(URL)
        run = await self.client().session(self.session).start("py-again", {"to": 20, "hold": 9})
        asked = 0
        async for event in run.events(replay="full"):
            if event.type == "input.requested":
                asked += 1
                await run.session.answer("may-i", True)
            if event.type == "x.n" and event.data == 9:
                break
        await kill()
        self.work(OTHER_URL)
        events = events_of(await collect(run.events(replay="full")))
        self.assertEqual([e.data for e in events if e.type == "x.n"], list(range(20)))
        self.assertEqual(events[-1].type, "run.completed")
        self.assertEqual(events[-1].data["result"], {"allowed": True}, "the answer came once more")
        self.assertEqual(len([e for e in events if e.type == "input.requested"]), asked)
        self.assertEqual(began, [(run.run_id, False), (run.run_id, True)])
        self.assertIn("queued", [e.data["status"] for e in events if e.type == "run.status"])

    async def test_waits(self):
        """a run waits at its node until a worker comes to any other"""
        kill = self.work(OTHER_URL)
        await self.known(URL)
        await kill()
        run = await self.client().session(self.session).start("py-quick", "late")
        self.work(OTHER_URL)
        events = events_of(await collect(run.events()))
        self.assertEqual([e.data for e in events if e.type == "x.said"], ["late"])
