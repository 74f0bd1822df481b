"""Workers: agents in Python that the server gives runs."""

import asyncio

from twinrail import AgentError, Worker, agent

from .stage import CUT_URL, QUICK, TestCase, URL, collect, control, events_of, random_of, until

cancelled = []


@agent("py-count", description="Counts", input={"type": "object", "required": ["to"]})
async def counting(input, run):
    for n in range(input["to"]):
        yield {"type": "x.n", "data": n}
        if n % 50 == 0:
            await asyncio.sleep(0)
    run.result = {"counted": input["to"], "by": run.by}


@agent("py-ask")
async def asking(input, run):
    """Asks, then says what was decided."""
    answer = await run.ask("May I?", kind="approval", schema={"type": "boolean"})
    yield {"type": "x.heard", "data": {"value": answer.value, "by": answer.by}}


@agent("py-steered")
async def steered(input, run):
    await run.append({"type": "x.said", "data": "ready"})
    async for message in run.steering:
        yield {"type": "x.said", "data": message.text}
        if message.text == "end":
            return


@agent("py-endless")
async def endless(input, run):
    try:
        while True:
            yield {"type": "text.delta", "data": {"partId": "p", "delta": "."}}
            await asyncio.sleep(0.001)
    except asyncio.CancelledError:
        cancelled.append(run.run_id)
        raise


@agent("py-failing")
async def failing(input, run):
    yield {"type": "x.before", "data": 1}
    if input == "own":
        raise AgentError("no-money", "Pay first", retryable=True)
    if input == "bad":
        yield {"type": "text.delta", "data": {"delta": "no part"}}
        await asyncio.sleep(60)
    raise RuntimeError("secret")


AGENTS = [counting, asking, steered, endless, failing]


class WorkerTest(TestCase):
    def work(self, url=URL, **options):
        worker = Worker(url, AGENTS, **{"backoff": QUICK, "slots": 5, **options})
        task = asyncio.create_task(worker.run())
        self.worker_task = task

        async def stop():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self.addAsyncCleanup(stop)
        return worker

    async def start(self, name, input=None, **options):
        session = self.client().session(self.session)
        while name not in {agent["name"] for agent in await self.client().agents()}:
            self.assertFalse(self.worker_task.done(), self.worker_task)
            await asyncio.sleep(0.01)
        return await session.start(name, input, **options)

    async def test_run(self):
        """a run has what the agent yields, in order, and its result"""
        self.work()
        run = await self.start("py-count", {"to": 2000})
        events = events_of(await collect(run.events(replay="full")))
        self.assertEqual([event.data for event in events if event.type == "x.n"], list(range(2000)))
        self.assertEqual(events[-1].type, "run.completed")
        self.assertEqual(events[-1].data["result"], {"counted": 2000, "by": "local"})

    async def test_ask_and_steer(self):
        """questions get their answer, messages come once and are noted"""
        self.work()
        run = await self.start("py-ask")
        heard = []
        async for event in run.events():
            if event.type == "input.requested":
                await run.session.answer(event.data["requestId"], True)
            if event.type == "x.heard":
                heard.append(event.data)
        self.assertEqual(heard, [{"value": True, "by": "local"}])
        run = await self.start("py-steered")
        for word in ("a", "b", "end"):
            await run.steer(word)
        events = events_of(await collect(run.events()))
        self.assertEqual([e.data for e in events if e.type == "x.said"], ["ready", "a", "b", "end"])
        self.assertEqual(len([e for e in events if e.type == "input.applied"]), 3)

    async def test_cancel(self):
        """a cancel is CancelledError in the agent, and frees its slot"""
        worker = self.work(slots=1)
        run = await self.start("py-endless")
        await until(lambda: worker._runs)
        await run.cancel("enough")
        await until(lambda: run.run_id in cancelled)
        self.assertEqual((await run.done()).type, "run.cancelled")
        again = await self.start("py-count", {"to": 1})
        self.assertEqual((await again.done()).type, "run.completed")

    async def test_failures(self):
        """an exception, a code of its own, and an event that is none"""
        self.work()
        for input, code in (("own", "no-money"), ("bad", "bad-event"), ("other", "agent-error")):
            with self.assertLogs("twinrail") if code != "no-money" else self.subTest():
                run = await self.start("py-failing", input)
                terminal = await run.done()
            self.assertEqual((terminal.type, terminal.data["code"]), ("run.failed", code))
            self.assertNotIn("secret", str(terminal.data))

    async def test_cuts(self):
        """connections that are cut lose and double nothing"""
        number = random_of("worker's cuts")
        self.work(CUT_URL)
        runs = [await self.start("py-count", {"to": 1500}) for _ in range(5)]
        done = asyncio.Event()

        async def cut():
            while not done.is_set():
                await asyncio.sleep(0.05 + number.random() / 10)
                await control("cut-after", bytes=number.choice([300, 2000, 10_000, "Infinity"]))
                await control("cut")
            await control("cut-after", bytes="Infinity")

        cutting = asyncio.create_task(cut())
        await asyncio.sleep(0.5)
        done.set()
        await cutting
        for run in runs:
            events = events_of(await collect(run.events(replay="full")))
            self.assertEqual([(e.type, e.data.get("code")) for e in events if e.terminal], [("run.completed", None)])
            self.assertEqual([e.data for e in events if e.type == "x.n"], list(range(1500)))

    async def test_drain(self):
        """a worker that drains finishes its runs and takes no more"""
        worker = self.work()
        run = await self.start("py-steered")
        await until(lambda: worker._runs)
        worker.drain()
        await run.steer("end")
        self.assertEqual((await run.done()).type, "run.completed")
        await self.worker_task
