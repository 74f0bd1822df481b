"""Commands, requests, and what the server refuses."""

import asyncio
import re

from twinrail import TwinrailError

from .stage import TestCase, collect, ingest, logged


class CommandsTest(TestCase):
    async def test_run(self):
        """a run is started once under its id, and completes with its input"""
        session = self.client().session(self.session)
        for value in ({"a": [1, None]}, None, "text", 0):
            run = await session.start("echo", value)
            terminal = await run.done()
            self.assertEqual((terminal.type, terminal.data.get("result")), ("run.completed", value))
            self.assertEqual(run.ack["runId"], run.run_id)
        again = await session.start("echo", 0, run_id=run.run_id)
        self.assertEqual(again.ack["offset"], run.ack["offset"])
        with self.assertRaises(TwinrailError) as caught:
            await session.start("echo", 1, run_id=run.run_id)
        self.assertCode(caught, "conflict")
        with self.assertRaises(TwinrailError) as caught:
            await session.start("none")
        self.assertCode(caught, "agent-not-found")
        self.assertFalse(caught.exception.retryable)

    async def test_cancel(self):
        """a run is cancelled; a second cancel says that it has ended"""
        session = self.client().session(self.session)
        run = await session.start("idle", {}, on_no_viewers={"cancelAfterMs": 60_000})
        await run.cancel("enough")
        terminal = await run.done()
        self.assertEqual((terminal.type, terminal.data["reason"]), ("run.cancelled", "enough"))
        with self.assertRaises(TwinrailError) as caught:
            await run.cancel()
        self.assertCode(caught, "run-ended")
        self.assertEqual(caught.exception.details["type"], "run.cancelled")

    async def test_steer(self):
        """messages reach a running agent in their order"""
        session = self.client().session(self.session)
        run = await session.start("echoing", {"query": "a"})
        for word in ("b", "c", "end"):
            await run.steer(word)
        self.assertEqual("".join(await collect(session.run(run.run_id).text())), "a b c ")
        with self.assertRaises(TwinrailError) as caught:
            await session.steer("none", "b")
        self.assertCode(caught, "run-not-found")

    async def test_answer(self):
        """the first answer wins; one that the schema refuses is none"""
        client = self.client()
        session = client.session(self.session)
        run = await session.start("asking", {"query": "it"})
        async with run.events() as events:
            async for item in events:
                if item.type == "input.requested":
                    request_id = item.data["requestId"]
                    break
        for value, code in (("yes", "bad-request"), (None, "bad-request")):
            with self.assertRaises(TwinrailError) as caught:
                await session.answer(request_id, value)
            self.assertCode(caught, code)
        ack = await session.answer(request_id, True)
        again = await session.answer(request_id, True)
        self.assertEqual(again["offset"], ack["offset"], "the same answer again gets the first ack")
        with self.assertRaises(TwinrailError) as caught:
            await session.answer(request_id, False)
        self.assertCode(caught, "already-answered")
        self.assertEqual(caught.exception.details["value"], True)
        self.assertEqual(caught.exception.details["offset"], ack["offset"])
        self.assertEqual("".join(await collect(run.text())), "Done.")
        with self.assertRaises(TwinrailError) as caught:
            await session.answer("none", True)
        self.assertCode(caught, "input-not-found")

    async def test_publish(self):
        """events under one key are published once; data is kept as it is"""
        client = self.client()
        session = client.session(self.session)
        first = await session.publish("x.n", {"é": [None, 1.5, "😀"]}, key="k")
        self.assertEqual((await session.publish("x.n", "other", key="k"))["offset"], first["offset"])
        await session.publish("x.nothing")
        self.assertEqual([event.data for event in await logged(client, self.session)], [{"é": [None, 1.5, "😀"]}, None])

    async def test_both_ways(self):
        """commands give the same over a stream's WebSocket and by POST"""
        for follow in (False, True):
            client = self.client()
            session = client.session(f"{self.session}.{follow}")
            events = session.events(create=True)
            if follow:
                await anext(events)
                self.assertIsNotNone(client._connection.sockets.ready)
            run = await session.start("echo", None)
            self.assertEqual((await run.done()).data["result"], None)
            with self.assertRaises(TwinrailError) as caught:
                await session.answer("none", 1)
            self.assertCode(caught, "input-not-found")
            for type, data, code in (
                ("bad type", None, "bad-request"),
                ("run.started", {}, "bad-request"),
                ("x.n", 2**60, "bad-request"),
                ("x.n", "x" * 2_000_000, "too-large"),
            ):
                with self.assertRaises(TwinrailError) as caught:
                    await session.publish(type, data)
                self.assertCode(caught, code)
                self.assertFalse(caught.exception.retryable)
            for data in (float("nan"), float("inf"), "\ud83d", {1, 2}):
                with self.assertRaises((TypeError, ValueError)):
                    await session.publish("x.n", data)
            await events.aclose()


class RequestsTest(TestCase):
    async def test_session(self):
        """a session is created, changed, listed and deleted"""
        client = self.client()
        session = client.session(self.session)
        created = await session.create({"title": "t", "more": {"a": 1, "b": 2}})
        self.assertEqual(created["sessionId"], self.session)
        changed = await session.update({"title": None, "more": {"a": None}})
        self.assertEqual(changed["metadata"], {"more": {"b": 2}})
        state = await session.state()
        self.assertEqual((state["metadata"], state["runs"]), ({"more": {"b": 2}}, []))
        listed = await client.sessions(limit=1)
        self.assertEqual(listed["sessions"][0]["sessionId"], self.session)
        await session.delete()
        await session.delete()
        with self.assertRaises(TwinrailError) as caught:
            await session.state()
        self.assertCode(caught, "session-not-found")

    async def test_pages(self):
        """the log is read in pages, in both directions"""
        session = self.client().session(self.session)
        await ingest(self.session, [{"type": "x.n", "data": n} for n in range(10)])
        data, page = [], await session.page(limit=4)
        while True:
            data += [event.data for event in page.events]
            if page.caught_up:
                break
            page = await session.page(after=page.next, limit=4)
        self.assertEqual(data, list(range(10)))
        back = await session.page(before=page.head, limit=3)
        self.assertEqual([event.data for event in back.events], [6, 7, 8])
        self.assertFalse(back.caught_up)
        self.assertEqual((await session.page(after="1-1")).controls[0].type, "reset")

    async def test_agents(self):
        """the agents have their schemas"""
        agents = {agent["name"]: agent for agent in await self.client().agents()}
        self.assertEqual(agents["asking"]["input"]["required"], ["query"])

    async def test_ids(self):
        """ids are part of a path, whatever they hold"""
        client = self.client()
        self.assertTrue(re.fullmatch("[0-9a-f]{32}", client.session().id))
        for id in ("../agents", "a b", "a?b", "é"):
            with self.assertRaises(TwinrailError) as caught:
                await client.session(id).state()
            self.assertCode(caught, "bad-request")

    async def test_not_twinrail(self):
        """another server's answer, and none at all, have codes of their own"""

        async def serve(answer):
            async def answers(reader, writer):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
                writer.close()

            server = await asyncio.start_server(answers, "127.0.0.1", 0)
            self.addCleanup(server.close)
            return self.client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")

        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n"
        for answer, code in (
            (head + b"content-length: 6\r\n\r\n<html>", "protocol-error"),
            (b"SSH-2.0\r\n\r\n", "protocol-error"),
            (head + b"content-length: 99999999999\r\n\r\n", "protocol-error"),
            (head + b"content-length: 60\r\n\r\n<html>", "connection-lost"),
            (b"", "connection-lost"),
            (b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>", "unavailable"),
            (b"HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n", "bad-request"),
        ):
            client = await serve(answer)
            with self.assertRaises(TwinrailError) as caught:
                await client.agents()
            self.assertCode(caught, code)
        json = b"HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\n"
        for answer in (
            json + b'transfer-encoding: chunked\r\n\r\nb\r\n{"agents":[\r\n2;x=y\r\n]}\r\n0\r\n\r\n',
            json + b'\r\n{"agents":[]}',
            b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + json + b'content-length: 13\r\n\r\n{"agents":[]}',
        ):
            self.assertEqual(await (await serve(answer)).agents(), [])
