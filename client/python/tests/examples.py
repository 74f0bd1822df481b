"""The examples are programs that work: each is started as a worker, and its agent is run."""

import asyncio
import pathlib
import sys

from .stage import URL, TestCase, collect

FOLDER = pathlib.Path(__file__).parents[1] / "examples"


class ExamplesTest(TestCase):
    async def start(self, example, name, input):
        program = await asyncio.create_subprocess_exec(sys.executable, str(FOLDER / example), URL)
        client = self.client()
        while name not in {agent["name"] for agent in await client.agents()}:
            self.assertIsNone(program.returncode)
            await asyncio.sleep(0.02)
        run = await client.session(self.session).start(name, input)

        async def stop():
            program.terminate()
            self.assertEqual(await program.wait(), 0, "SIGTERM drains it")

        return run, stop

    async def test_graph(self):
        """the graph asks, and goes the way of the answer"""
        run, stop = await self.start("graph.py", "report", {"topic": "Cursors"})
        steps = []
        async for event in run.events():
            if event.type == "input.requested":
                await run.session.answer(event.data["requestId"], True)
            if event.type == "step.finished":
                steps.append(event.data["name"])
        self.assertEqual(steps, ["plan", "approve", "write"])
        self.assertEqual((await run.done()).data["result"], {"sections": 2})
        await stop()

    async def test_openai_stream(self):
        """the model's deltas are the run's text"""
        run, stop = await self.start("openai_stream.py", "chat", {"prompt": "hello there"})
        self.assertEqual("".join(await collect(run.text())), "You said: hello there ")
        self.assertEqual((await run.done()).type, "run.completed")
        await stop()
