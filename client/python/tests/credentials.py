"""Credentials: at the first use, before they expire, and after they were refused."""

import asyncio

from twinrail import CaughtUp, Event, Token, TwinrailError

from .stage import TestCase, control, until


class CredentialsTest(TestCase):
    def auth(self, seconds=600, later=0):
        """Gives tokens that differ, and counts them. All but the first are issued so many seconds from now."""

        async def auth():
            delay = later if auth.tokens else 0
            auth.tokens.append(await control("token", sub=self.session[-40:], seconds=seconds, delay=delay))
            return auth.tokens[-1]

        auth.tokens = []
        return auth

    async def test_none(self):
        """without credentials everything is unauthorized, at once"""
        client = self.client()
        session = client.session(self.session)
        for call in (session.state(), session.publish("x.n"), anext(session.events())):
            with self.assertRaises(TwinrailError) as caught:
                await call
            self.assertCode(caught, "unauthorized")

    async def test_shared(self):
        """one token serves all streams, commands and requests"""
        auth = self.auth()
        client = self.client(auth=auth)
        session = client.session(self.session)
        await session.create()
        async with session.events() as events:
            await anext(events)
            await asyncio.gather(*(session.publish("x.n", n) for n in range(10)), session.state())
            self.assertEqual(len(auth.tokens), 1)

    async def test_headers_and_tokens(self):
        """auth may be a plain function, and return a Token or headers"""
        token = await self.auth()()
        for given in (lambda: token, lambda: Token(token), lambda: {"Authorization": f"Bearer {token}"}):
            client = self.client(auth=given)
            session = client.session(self.session)
            await session.create()
            async with session.events() as events:
                await anext(events)

    async def test_renewed(self):
        """a token is renewed on the open socket before it expires"""
        auth = self.auth(seconds=4)
        client = self.client(auth=auth)
        session = client.session(self.session)
        await session.create()
        async with session.events() as events:
            self.assertIsInstance(await anext(events), CaughtUp)
            socket = client._connection.sockets.ready
            waiting = asyncio.ensure_future(anext(events))
            await until(lambda: len(auth.tokens) >= 3 or waiting.done())
            await session.publish("x.n", 1)
            self.assertEqual((await waiting).data, 1)
            self.assertIs(client._connection.sockets.ready, socket, "the same connection")

    async def test_revoked(self):
        """after a revocation, streams and commands ask once for a new token"""
        # The time of issue has a resolution of a second, and what was issued in the second of a revocation is void.
        auth = self.auth(later=5)
        client = self.client(auth=auth)
        session = client.session(self.session)
        await session.create()
        async with session.events() as events:
            await anext(events)
            self.assertEqual(await control("revoke", sub=self.session[-40:]), 204)
            waiting = asyncio.ensure_future(self.next_event(events))
            await asyncio.gather(*(session.publish("x.n", 7) for _ in range(3)))
            self.assertEqual((await waiting).data, 7)
        self.assertEqual(len(auth.tokens), 2)

    async def next_event(self, events):
        async for item in events:
            if isinstance(item, Event):
                return item

    async def test_refused(self):
        """tokens that are refused again end in unauthorized; auth is asked twice"""
        asked = []
        client = self.client(auth=lambda: asked.append(1) or f"wrong.{len(asked)}")
        session = client.session(self.session)
        for call in (lambda: session.state(), lambda: session.publish("x.n"), lambda: anext(session.events())):
            asked.clear()
            with self.assertRaises(TwinrailError) as caught:
                await call()
            self.assertCode(caught, "unauthorized")
            self.assertLessEqual(len(asked), 2)

    async def test_failing(self):
        """an auth function that fails is asked again, unless it says that it is final"""
        token = await self.auth()()
        failures = iter([OSError("no network"), ValueError("no")])

        def auth():
            for failure in failures:
                raise failure
            return token

        session = self.client(auth=auth).session(self.session)
        await session.publish("x.n", 1)
        self.assertEqual((await anext(session.events())).data, 1)

        def final():
            raise TwinrailError("signed-out", "Nobody is signed in")

        session = self.client(auth=final).session(self.session)
        for call in (session.publish("x.n"), anext(session.events())):
            with self.assertRaises(TwinrailError) as caught:
                await call
            self.assertCode(caught, "signed-out")
        with self.assertRaises(TwinrailError) as caught:
            await self.client(auth=lambda: {"x-user": "a\r\nb: c"}).session(self.session).state()
        self.assertCode(caught, "auth-failed")

    async def test_lost_right(self):
        """the stream of somebody who may not read the session is refused"""
        await self.client(auth=self.auth()).session(self.session).create()
        other = await control("token", sub="somebody-else", seconds=600)
        with self.assertRaises(TwinrailError) as caught:
            await anext(self.client(auth=lambda: other).session(self.session).events())
        self.assertIn(caught.exception.code, ("forbidden", "session-not-found"))
