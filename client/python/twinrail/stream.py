"""Follows a session, and reconnects at the cursor when a connection ends before the stream does."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any
import asyncio
import logging
import time

from ._connection import Connection, closed
from ._waits import pause
from ._cursor import Cursor
from ._socket import SharedSocket
from ._subscription import Subscription
from .credentials import Credential
from .errors import TwinrailError
from .events import StreamItem, control_of, event_of

log = logging.getLogger("twinrail")


class EventStream:
    """A session's events in order and each once: `async for event in session.events()`.

    Lost connections are replaced at the cursor, without limit unless `Backoff.attempts` sets one. A slow consumer slows
    the stream: the server sends at most 256 KiB ahead of it. It ends after `End`, and when the client is closed.
    Cancelling the wait for an event, for example by `asyncio.wait_for(anext(events), 1)`, loses nothing: ask again.

    It holds a subscription until it ends, is closed, or is no longer referenced. `async with` closes it for sure.

    Iterating raises TwinrailError when the server refuses for good or violates the protocol, or after
    `Backoff.attempts` failures.
    """

    def __init__(self, connection: Connection, session_id: str, options: Mapping[str, Any]) -> None:
        self._connection = connection
        self._session_id = session_id
        self._options = {name: value for name, value in options.items() if value is not None}
        self._cursor = Cursor(self._options.pop("after", None), "run" not in self._options)
        self._subscription: Subscription | None = None
        self._socket: SharedSocket | None = None
        self._credential: Credential | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._retry_at = 0.0
        self._failures = 0
        self._reauthorized = False
        self._stopped = asyncio.Event()
        self._reading = False

    @property
    def offset(self) -> str | None:
        """The cursor: the offset of the last event that was yielded, or that a gap skipped."""
        return self._cursor.offset

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> StreamItem:
        if self._reading:
            raise RuntimeError("Another task waits for the stream's next event: use one stream for each task")
        self._reading = True
        try:
            return await self._next()
        finally:
            self._reading = False

    async def aclose(self) -> None:
        """Ends the stream. The run and other streams go on."""
        self._stopped.set()
        self._drop(broken=False)

    async def __aenter__(self) -> EventStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        subscription, loop = self.__dict__.get("_subscription"), self.__dict__.get("_loop")
        if subscription and loop and not loop.is_closed():
            # The garbage collector may run in any thread.
            loop.call_soon_threadsafe(subscription.leave, False)

    async def _next(self) -> StreamItem:
        while not self._stopped.is_set():
            try:
                subscription = self._subscription or await self._subscribe()
                message = await subscription.next()
                item = self._item(message) if self._cursor.take(message) else None
            except TwinrailError as error:
                self._lost(error)
                continue
            if item:
                return item
        raise StopAsyncIteration

    def _item(self, message: Mapping[str, Any]) -> StreamItem | None:
        kind = message["type"]
        if "." in kind:
            self._reauthorized = False
            return event_of(message)
        if kind == "closing":
            # The socket fails with the same error right after it.
            return None
        self._reauthorized = False
        if kind == "end":
            if message["reason"] == "forbidden":
                raise TwinrailError("forbidden", f"The right to read {self._session_id} was lost")
            self._stopped.set()
            self._drop(broken=False)
        return control_of(message)

    async def _subscribe(self) -> Subscription:
        self._loop = asyncio.get_running_loop()
        await pause((self._retry_at - time.monotonic()) * 1000, self._stopped, self._connection.closing)
        credential = self._credential = await self._connection.credentials.get()
        self._connection.check_open()
        if self._stopped.is_set():
            raise closed()
        options = dict(self._options)
        if self._cursor.offset is not None:
            options["after"] = self._cursor.offset
        sockets = self._connection.sockets
        self._subscription, self._socket = sockets.subscribe(credential, self._session_id, options)
        return self._subscription

    def _drop(self, broken: bool) -> None:
        subscription, self._subscription = self._subscription, None
        self._socket = None
        if subscription:
            subscription.leave(broken)
            subscription.fail(closed())  # another task may wait for its next message

    def _lost(self, error: TwinrailError) -> None:
        """Plans another attempt, or raises the error."""
        socket = self._socket
        began_at = socket.opened_at if socket else None
        self._drop(broken=True)
        if self._stopped.is_set() or self._connection.closed:
            self._stopped.set()
            return
        asks_again = False
        if error.code == "unauthorized":
            credential = socket.credential if socket else self._credential
            if self._reauthorized or not credential or not self._connection.credentials.refused(credential):
                self._stopped.set()
                raise error
            self._reauthorized = asks_again = True
        elif not error.retryable:
            self._stopped.set()
            raise error
        backoff = self._connection.backoff
        # Only a connection that lasted resets the count: a server that dies at once must not be hammered.
        if began_at is not None and (time.monotonic() - began_at) * 1000 >= backoff.stable_ms:
            self._failures = 0
        if self._failures >= backoff.attempts:
            self._stopped.set()
            raise error
        wait_ms = backoff.wait_ms(self._failures, error.retry_after_ms or 0)
        if asks_again and self._failures == 0:
            wait_ms = 0
        self._failures += 1
        self._retry_at = time.monotonic() + wait_ms / 1000
        log.info("The stream of %s reconnects in %.0f ms: %s", self._session_id, wait_ms, error)
