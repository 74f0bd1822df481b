"""The server that the tests run against, and what all of them do with it."""

import asyncio
import json
import os
import random
import unittest
import urllib.parse
import urllib.request

from twinrail import Backoff, Client, Event

URL = os.environ["TWINRAIL_URL"]
CUT_URL = os.environ["TWINRAIL_CUT_URL"]
"""A proxy whose connections `control("cut")` cuts."""
COUNTED_URL = os.environ["TWINRAIL_COUNTED_URL"]
"""A proxy that counts the bytes that it takes from the server: `control("received")`."""
SEED = int(os.environ["SEED"])

QUICK = Backoff(base_ms=5, cap_ms=20)


def random_of(name):
    """Numbers that the printed seed repeats."""
    return random.Random(f"{SEED} {name}")


async def control(what, **query):
    def request():
        address = f"{os.environ['TWINRAIL_CONTROL_URL']}/{what}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(address) as response:
            return json.load(response)

    return await asyncio.to_thread(request)


async def ingest(session, events, url=URL):
    """Appends events as a producer does."""

    def request():
        body = json.dumps(events).encode()
        address = f"{url}/v1/sessions/{session}/events"
        headers = {"content-type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(address, body, headers)) as response:
            return json.load(response)

    return await asyncio.to_thread(request)


async def logged(client, session):
    """All events of a session's log, unfolded."""
    events, after = [], None
    while True:
        page = await client.session(session).page(after=after, replay="full")
        events += page.events
        after = page.next
        if page.caught_up:
            return events


async def until(done):
    """Waits until `done()` holds, looking whenever the event loop has turned."""
    while not done():
        await asyncio.sleep(0.001)


async def collect(stream):
    return [item async for item in stream]


def events_of(items):
    return [item for item in items if isinstance(item, Event)]


class TestCase(unittest.IsolatedAsyncioTestCase):
    """Each test has clients that are closed after it, and a session of its own."""

    maxDiff = 4000

    def setUp(self):
        self.session = f"python.{self.id().replace('_', '-')}"[-100:].lstrip(".-:_")

    def client(self, url=URL, **options):
        client = Client(url, **{"backoff": QUICK, **options})
        self.addAsyncCleanup(client.aclose)
        return client

    def assertCode(self, caught, code):
        self.assertEqual(caught.exception.code, code, caught.exception)
