"""What needs no server: cursors, errors, waits. And the table of errors in PROTOCOL.md."""

import asyncio
import base64
import json
import math
import pathlib
import re
import time
import unittest

from twinrail import Backoff, Client, TwinrailError, _waits
from twinrail._cursor import Cursor
from twinrail._http import endpoint
from twinrail._waits import within
from twinrail.credentials import Token, _credential_of
from twinrail.errors import (
    SERVER_CODES,
    error_of_close,
    error_of_closing,
    error_of_refusal,
    error_of_response,
)


def event(offset, **more):
    return {"type": "x.n", "offset": offset, **more}


class CursorTest(unittest.TestCase):
    def test_duplicates(self):
        """an event that was delivered before is a duplicate, folded or not"""
        cursor = Cursor(None, True)
        self.assertTrue(cursor.take(event("7-1")))
        self.assertTrue(cursor.take(event("7-4", **{"from": "7-2"})))
        for offset in ("7-1", "7-3", "7-4"):
            self.assertFalse(cursor.take(event(offset)))
        self.assertEqual(cursor.offset, "7-4")

    def test_holes(self):
        """a hole, an overlap and another log are out of step"""
        for wrong in (event("7-6"), event("7-6", **{"from": "7-3"}), event("8-5")):
            cursor = Cursor("7-4", True)
            with self.assertRaises(TwinrailError) as caught:
                cursor.take(wrong)
            self.assertEqual(caught.exception.code, "out-of-step")
        self.assertTrue(Cursor("7-4", False).take(event("7-9")), "a stream of one run leaves others out")

    def test_controls(self):
        """gap, subscribed and caught-up advance, reset goes back"""
        cursor = Cursor("7-4", True)
        cursor.take({"type": "gap", "from": "7-5", "to": "7-9"})
        self.assertTrue(cursor.take(event("7-10")))
        cursor.take({"type": "caught-up", "offset": "7-8"})
        self.assertEqual(cursor.offset, "7-10")
        cursor.take({"type": "subscribed", "after": "9-0"})
        cursor.take({"type": "reset", "head": "9-3"})
        self.assertEqual(cursor.offset, "9-0")
        cursor.take({"type": "reset", "head": "11-3"})
        self.assertIsNone(cursor.offset)

    def test_malformed(self):
        """a malformed offset is a protocol error"""
        for offset in ("7", "0-1", "7-01", "7-1x", 7, None):
            with self.assertRaises(TwinrailError) as caught:
                Cursor(None, True).take(event(offset))
            self.assertEqual(caught.exception.code, "protocol-error")


class ErrorTest(unittest.TestCase):
    def test_table(self):
        """the table of errors is PROTOCOL.md's"""
        protocol = pathlib.Path(__file__).parents[3] / "PROTOCOL.md"
        section = protocol.read_text(encoding="utf-8").split("\n## Errors\n")[1].split("\n#")[0]
        rows = re.findall(r"^\| `([a-z-]+)` \| (\d+) \| (\d+) \| (yes|no) \|", section, re.M)
        self.assertGreater(len(rows), 10)
        table = {code: (int(status), int(close), retry == "yes") for code, status, close, retry in rows}
        self.assertEqual({code: tuple(row) for code, row in SERVER_CODES.items()}, table)

    def test_responses(self):
        """an answer's code comes from its body, a proxy's from its status"""
        body = json.dumps({"error": {"code": "rate-limited", "message": "m", "retryAfterMs": 70}}).encode()
        error = error_of_response("u", 429, {}, body)
        self.assertEqual((error.code, error.retryable, error.retry_after_ms), ("rate-limited", True, 70))
        for status, code, retryable in (
            (502, "unavailable", True),
            (500, "internal", True),
            (404, "not-found", False),
            (418, "bad-request", False),
            (302, "bad-request", False),
        ):
            error = error_of_response("u", status, {"retry-after": "3"}, b"<html>")
            self.assertEqual((error.code, error.retryable, error.retry_after_ms), (code, retryable, 3000))

    def test_unknown_codes(self):
        """codes of a newer server are passed on"""
        self.assertTrue(error_of_refusal({"code": "new", "message": "", "retryable": True}).retryable)
        self.assertFalse(error_of_refusal({"code": "new", "message": ""}).retryable)
        self.assertTrue(error_of_closing({"code": "new", "reason": ""}).retryable)

    def test_close_codes(self):
        """close codes have the meaning of PROTOCOL.md"""
        for close, code, retryable in (
            (1000, "connection-lost", True),
            (1006, "connection-lost", True),
            (1007, "protocol-error", False),
            (1012, "restart", True),
            (4401, "unauthorized", False),
            (4499, "protocol-error", False),
            (4599, "connection-lost", True),
        ):
            error = error_of_close(close, "")
            self.assertEqual((error.code, error.retryable), (code, retryable), close)


class WaitTest(unittest.IsolatedAsyncioTestCase):
    async def test_cancelled(self):
        """a cancellation that comes together with the result is not lost"""
        for turns in range(3):
            reply = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(within(10, reply))
            await asyncio.sleep(0)
            reply.set_result("late")
            for _ in range(turns):
                await asyncio.sleep(0)
            if task.done():
                break
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
        self.assertGreater(turns, 0)

    async def test_ends(self):
        """a wait gives the result or the failure, and cancels what takes too long"""

        async def work(result):
            if isinstance(result, Exception):
                raise result
            return result

        self.assertEqual(await within(None, work(1)), 1)
        with self.assertRaises(ValueError):
            await within(10, work(ValueError()))
        never = asyncio.get_running_loop().create_future()
        with self.assertRaises(asyncio.TimeoutError):
            await within(0.001, never)
        self.assertTrue(never.cancelled())

    def test_used(self):
        """the package waits by `within`, since `asyncio.wait_for` loses cancellations before Python 3.12"""
        for path in pathlib.Path(_waits.__file__).parent.glob("*.py"):
            self.assertNotIn("await asyncio.wait_for", path.read_text(), path.name)


class SettingTest(unittest.TestCase):
    def test_backoff(self):
        """waits double up to the cap, and the server's wait is added"""
        backoff = Backoff(base_ms=10, cap_ms=100, random=lambda: 1)
        self.assertEqual([backoff.wait_ms(n, 0) for n in range(5)], [10, 20, 40, 80, 100])
        self.assertEqual(backoff.wait_ms(10_000, 500), 600)

    def test_addresses(self):
        """an address may have a path; a wrong one is refused"""
        self.assertEqual(endpoint("https://h/p/", "ws", {"a": None, "b": True}), "https://h/p/v1/ws?b=1")
        for wrong in ("ws://h", "h:1", "", "http://", "http://h:99999999"):
            with self.assertRaises(ValueError):
                Client(wrong)

    def test_expiry(self):
        """a token's expiry is given, or read from it; one in the past counts as unknown"""
        at = time.time() * 1000 + 60_000
        self.assertEqual(_credential_of(Token("t", at)).expires_at, at)
        self.assertEqual(_credential_of(Token("t", 1)).expires_at, math.inf)
        payload = base64.urlsafe_b64encode(json.dumps({"exp": int(at / 1000)}).encode()).decode().rstrip("=")
        self.assertEqual(_credential_of(f"h.{payload}.s").expires_at, int(at / 1000) * 1000)
        for opaque in ("t", "a.b", "a.!.c", "a..c"):
            self.assertEqual(_credential_of(opaque).expires_at, math.inf)
