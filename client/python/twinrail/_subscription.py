"""One session's subscription on a WebSocket: its inbox, and the credit window that bounds it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
import asyncio

from ._waits import within
from .errors import TwinrailError, error_of_refusal

Message = Mapping[str, Any]

# Bytes of events that the server may send ahead of the consumer.
WINDOW_BYTES = 256 * 1024

# Most bytes in the inbox: the window, one event larger than it, and messages that the window does not count.
INBOX_BYTES = WINDOW_BYTES + 2 * 1024 * 1024

# A waiting consumer grants even a small part of the window after this time: the next event may need all of it.
IDLE_S = 0.05


class Subscription:
    """The part of a socket that one stream uses. The socket fills it, the stream empties it."""

    def __init__(
        self,
        id: str,
        session_id: str,
        options: Mapping[str, Any],
        post: Callable[[Message], None],
        on_leave: Callable[[Subscription, bool], None],
    ) -> None:
        self.id = id
        self.session_id = session_id
        self.options = options
        self._post = post
        self._on_leave = on_leave
        self._inbox: deque[tuple[Message, int]] = deque()
        self._inbox_bytes = 0
        self._accepted = False
        self._failure: TwinrailError | None = None
        self._arrived = asyncio.Event()
        self._handed_over: tuple[Message, int] | None = None
        self._offset: str | None = None  # the last offset that was consumed since the last grant
        self._consumed_bytes = 0

    def begin(self) -> None:
        """Sends `subscribe`. Called once the socket is open."""
        self._post(
            {
                "type": "subscribe",
                "id": self.id,
                "sessionId": self.session_id,
                **self.options,
                "windowBytes": WINDOW_BYTES,
            }
        )

    def acked(self, id: Any) -> None:
        """Messages before the ack belong to an earlier subscription to the same session on this socket."""
        if id == self.id:
            self._accepted = True

    def refused(self, nack: Message) -> None:
        if nack.get("id") == self.id:
            self.fail(error_of_refusal(nack))

    def add(self, message: Message, size: int) -> bool:
        """Puts a message into the inbox, unless it precedes the ack. Returns whether there is still room."""
        if self._failure or not (self._accepted or message["type"] == "closing"):
            return True
        self._inbox.append((message, size))
        self._inbox_bytes += size
        self._arrived.set()
        return self._inbox_bytes <= INBOX_BYTES

    def fail(self, error: TwinrailError) -> None:
        self._failure = self._failure or error
        self._arrived.set()

    def leave(self, broken: bool) -> None:
        """Ends the subscription. `broken` says that it ends because the connection failed."""
        self._on_leave(self, broken)

    async def next(self) -> Message:
        """The next message; those that arrived before a failure come first.

        Asking for it tells that the message before it is consumed. Cancelling it loses nothing.

        Raises:
            TwinrailError: the failure.
        """
        self._consumed()
        while not self._inbox:
            if self._failure:
                raise self._failure
            self._arrived.clear()
            try:
                await within(None if self._offset is None else IDLE_S, self._arrived.wait())
            except asyncio.TimeoutError:
                self._grant()
        message, size = self._handed_over = self._inbox.popleft()
        self._inbox_bytes -= size
        return message

    def _consumed(self) -> None:
        if not self._handed_over:
            return
        message, size = self._handed_over
        self._handed_over = None
        if "." not in message["type"]:
            return
        self._consumed_bytes += size
        self._offset = message.get("offset", self._offset)
        if self._offset is not None and self._consumed_bytes >= WINDOW_BYTES / 2:
            self._grant()

    def _grant(self) -> None:
        """Allows the server to send as many bytes again as were consumed."""
        self._post({"type": "window", "sessionId": self.session_id, "offset": self._offset})
        self._offset = None
        self._consumed_bytes = 0
