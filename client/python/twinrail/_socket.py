"""A client's WebSockets, each shared by many sessions and commands. PROTOCOL.md, "WebSocket"."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit
import asyncio
import json
import logging
import ssl
import time

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from ._http import ANSWER_S, endpoint, json_of
from ._subscription import Message, Subscription
from ._waits import within
from .credentials import Credential, Credentials
from .errors import (
    TwinrailError,
    error_of_close,
    error_of_closing,
    error_of_refusal,
    error_of_response,
)

log = logging.getLogger("twinrail")

# The server's heartbeat before `hello` tells it, in ms.
HEARTBEAT_MS = 15_000

# A connection is dead after this many heartbeats without a message.
PATIENCE = 2.5

# Longest message that is read: an event of 1 MiB, or a refusal that repeats one, with JSON's escapes.
MESSAGE_BYTES = 8 * 1024 * 1024

# Time before the expiry at which credentials are renewed, in ms; a quarter of the rest where that is shorter.
LEAD_MS = 30_000

# Least time between two renewals, in ms.
LEAST_MS = 1000


class SocketPool:
    """Opens sockets on demand: one, unless the same session is followed more than once."""

    def __init__(self, url: str, credentials: Credentials, tls: ssl.SSLContext | None) -> None:
        self.credentials = credentials
        address = urlsplit(endpoint(url, "ws"))
        self._address = address._replace(scheme=address.scheme.replace("http", "ws")).geturl()
        self._tls = tls
        self._sockets: set[SharedSocket] = set()
        self._closing: set[asyncio.Task[None]] = set()

    def subscribe(
        self, credential: Credential, session_id: str, options: Mapping[str, Any]
    ) -> tuple[Subscription, SharedSocket]:
        """A subscription on the first socket that does not carry the session yet."""
        for socket in self._sockets:
            # A token reaches the open sockets, headers do not.
            current = credential.token is not None or socket.credential is credential
            if current and not socket.carries(session_id):
                return socket.subscribe(session_id, options), socket
        socket = SharedSocket(self, credential, self._address, self._tls)
        self._sockets.add(socket)
        return socket.subscribe(session_id, options), socket

    def work(self, credential: Credential, listener: Listener) -> SharedSocket:
        """A socket of its own for a worker. It stays open without a subscription."""
        socket = SharedSocket(self, credential, self._address, self._tls, listener)
        self._sockets.add(socket)
        return socket

    @property
    def ready(self) -> SharedSocket | None:
        """A socket that can send commands now, if there is one."""
        return next((socket for socket in self._sockets if socket.greeted), None)

    def gone(self, socket: SharedSocket, task: asyncio.Task[None]) -> None:
        """Takes note that a socket has failed. Its connection is being closed."""
        self._sockets.discard(socket)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self, error: TwinrailError) -> None:
        for socket in list(self._sockets):
            socket.fail(error)
        await asyncio.gather(*self._closing, return_exceptions=True)


class Listener(Protocol):
    """A worker, as its socket sees it."""

    def greeted(self) -> None: ...

    def received(self, message: Message) -> None: ...

    def failed(self, error: TwinrailError) -> None: ...


class SharedSocket:
    """One WebSocket. It closes itself when it has no subscription and no pending command."""

    def __init__(
        self,
        pool: SocketPool,
        credential: Credential,
        address: str,
        tls: ssl.SSLContext | None,
        listener: Listener | None = None,
    ) -> None:
        self.credential = credential
        """The credentials that the server knows of this socket."""
        self.greeted = False
        """Whether the server has sent `hello`, and the connection has not failed since."""
        self.opened_at: float | None = None
        self._pool = pool
        self._address = address
        self._tls = tls
        self._listener = listener
        self._subscriptions: dict[str, Subscription] = {}
        self._replies: dict[str, asyncio.Future[Message]] = {}
        self._outbox: deque[str] = deque()
        self._has_outgoing = asyncio.Event()
        self._open = False
        self._failure: TwinrailError | None = None
        self._heartbeat_ms: float = HEARTBEAT_MS
        self._received_at = time.monotonic()
        self._ids = 0
        self._helpers: list[asyncio.Task[None]] = []
        self._task = asyncio.create_task(self._run(), name="twinrail socket")

    def carries(self, session_id: str) -> bool:
        return session_id in self._subscriptions

    def subscribe(self, session_id: str, options: Mapping[str, Any]) -> Subscription:
        subscription = Subscription(self._id("s"), session_id, options, self.post, self._leave)
        self._subscriptions[session_id] = subscription
        requested = options.get("heartbeatMs")
        if requested is not None:
            self._heartbeat_ms = min(self._heartbeat_ms, requested)
        if self._open:
            subscription.begin()
        return subscription

    def post(self, message: Message) -> None:
        """Queues a message. Messages are sent in this order. Raises TypeError or ValueError for what is not JSON."""
        text = json_of(message)
        if self._open and not self._failure:
            self._outbox.append(text)
            self._has_outgoing.set()

    async def command(self, command: Message) -> Message:
        """Sends a command and returns its ack.

        Raises:
            TwinrailError: the server's refusal; `silent` or `connection-lost` when the outcome is unknown.
        """
        if self._failure:
            raise TwinrailError("connection-lost", self._failure.message)
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._replies[command["id"]] = reply
        try:
            self.post(command)
            return await within(ANSWER_S, reply)
        except asyncio.TimeoutError:
            raise TwinrailError("silent", f"No answer came within {ANSWER_S:g} s") from None
        finally:
            self._replies.pop(command["id"], None)
            self._close_if_idle()

    def fail(self, error: TwinrailError) -> None:
        """Ends the socket, its subscriptions and its pending commands."""
        if self._failure:
            return
        self._failure = error
        self.greeted = False
        if error.code == "unauthorized":
            self._pool.credentials.refused(self.credential)
        for subscription in self._subscriptions.values():
            subscription.fail(error)
        for reply in self._replies.values():
            if not reply.done():
                code = "closed" if error.code == "closed" else "connection-lost"
                reply.set_exception(TwinrailError(code, error.message))
        if self._listener:
            self._listener.failed(error)
        self._pool.gone(self, self._task)
        self._task.cancel()

    def _id(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}{self._ids}"

    def _leave(self, subscription: Subscription, broken: bool) -> None:
        if self._subscriptions.get(subscription.session_id) is not subscription:
            return
        del self._subscriptions[subscription.session_id]
        if broken and not self._subscriptions:
            self.fail(TwinrailError("connection-lost", "Closed"))
            return
        if self._subscriptions:
            self.post(
                {"type": "unsubscribe", "id": self._id("u"), "sessionId": subscription.session_id}
            )
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if not self._subscriptions and not self._replies and not self._listener:
            self.fail(TwinrailError("connection-lost", "Closed"))

    async def _run(self) -> None:
        tls: dict[str, Any] = {"ssl": self._tls} if self._tls and self._address.startswith("wss:") else {}
        try:
            async with connect(
                self._address,
                subprotocols=[Subprotocol("twinrail.v1")],
                additional_headers=self.credential.headers,
                **tls,
                max_size=MESSAGE_BYTES,
                open_timeout=ANSWER_S,
                close_timeout=1,
                ping_interval=None,  # the server's own heartbeat tells whether it is there
            ) as connection:
                try:
                    await self._serve(connection)
                finally:
                    for helper in self._helpers:
                        helper.cancel()
                    await asyncio.gather(*self._helpers, return_exceptions=True)
        except asyncio.CancelledError:
            if not self._failure:  # cancelled by others: the event loop ends
                self.fail(TwinrailError("closed", "The event loop ended"))
                raise
        except Exception as error:
            self.fail(_error_of(self._address, error))

    async def _serve(self, connection: ClientConnection) -> None:
        self._open = True
        self._received_at = self.opened_at = time.monotonic()
        for subscription in self._subscriptions.values():
            subscription.begin()
        self._help(self._write, connection)
        self._help(self._watch)
        while True:
            message = await connection.recv()
            self._received_at = time.monotonic()
            if not isinstance(message, str):
                raise TwinrailError("protocol-error", "The server sent a binary message")
            for text in message.split("\n"):
                self._receive(text)

    def _help(self, work: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        """Runs work beside the reader. Its failure ends the socket."""

        async def run() -> None:
            try:
                await work(*args)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self.fail(_error_of(self._address, error))

        self._helpers.append(asyncio.create_task(run(), name="twinrail socket"))

    async def _write(self, connection: ClientConnection) -> None:
        while True:
            await self._has_outgoing.wait()
            self._has_outgoing.clear()
            while self._outbox:
                await connection.send(self._outbox.popleft())

    async def _watch(self) -> None:
        """Notices silence. A late wake-up shows that this process slept, not that the server is dead."""
        slack = 0.0
        while True:
            patience = PATIENCE * self._heartbeat_ms / 1000
            due = max(self._received_at + patience, slack)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            heartbeat = self._heartbeat_ms / 1000
            if now - due > heartbeat:
                slack = now + heartbeat
                self.post({"type": "ping", "time": int(time.time() * 1000)})
            elif now - self._received_at >= PATIENCE * heartbeat:
                raise TwinrailError("silent", f"Nothing was received for {now - self._received_at:.0f} s")

    async def _keep_authorized(self, rest_ms: float) -> None:
        """Sends a new token before the old one expires. With other credentials the streams connect again."""
        while True:
            await asyncio.sleep(max(LEAST_MS, rest_ms - min(LEAD_MS, rest_ms / 4)) / 1000)
            credential = await self._pool.credentials.renewed(self.credential)
            if credential.token is None:
                raise TwinrailError("connection-lost", "The credentials are renewed")
            ack = await self.command({"type": "auth", "id": self._id("a"), "token": credential.token})
            self.credential = credential
            expires_at = ack.get("expiresAt")
            if expires_at is None:
                return
            rest_ms = expires_at - self._server_time()

    def _server_time(self) -> float:
        return time.time() * 1000 + self._server_ahead_ms

    _server_ahead_ms = 0.0

    def _receive(self, text: str) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            raise TwinrailError("protocol-error", "The server sent text that is not JSON") from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise TwinrailError("protocol-error", "The server sent JSON that is not a message")
        if self._listener and message["type"] in ("work", "work-input", "work-over"):
            self._listener.received(message)
            return
        session_id = message.get("sessionId")
        if isinstance(session_id, str):
            subscription = self._subscriptions.get(session_id)
            size = len(text) if text.isascii() else len(text.encode())
            if subscription and not subscription.add(message, size):
                raise TwinrailError("too-slow", "The server sent more than its window")
            return
        kind = message["type"]
        if kind == "hello":
            self._greet(message)
        elif kind == "ack":
            for subscription in self._subscriptions.values():
                subscription.acked(message["id"])
            reply = self._replies.get(message["id"])
            if reply and not reply.done():
                reply.set_result(message)
        elif kind == "nack":
            for subscription in self._subscriptions.values():
                subscription.refused(message)
            reply = self._replies.get(message.get("id") or "")
            if reply and not reply.done():
                reply.set_exception(error_of_refusal(message))
        elif kind == "closing":
            # What arrived before it is delivered first.
            for subscription in self._subscriptions.values():
                subscription.add(message, 0)
            raise error_of_closing(message)

    def _greet(self, hello: Message) -> None:
        self.greeted = True
        requested = [s.options.get("heartbeatMs") for s in self._subscriptions.values()]
        self._heartbeat_ms = min([hello["heartbeatMs"], *(ms for ms in requested if ms is not None)])
        self._server_ahead_ms = hello["serverTime"] - time.time() * 1000
        expires_at = hello.get("expiresAt")
        if expires_at is not None and self._pool.credentials.renews:
            self._help(self._keep_authorized, expires_at - self._server_time())
        if self._listener:
            self._listener.greeted()


def _error_of(address: str, error: Exception) -> TwinrailError:
    if isinstance(error, TwinrailError):
        return error
    if isinstance(error, ConnectionClosed):
        closed = error.rcvd or error.sent
        return error_of_close(closed.code, closed.reason) if closed else error_of_close(1006, "")
    if isinstance(error, InvalidStatus):
        response = error.response
        # Repeated fields make a websockets header ambiguous; the last one is as good as any.
        headers = {name.lower(): value for name, value in response.headers.raw_items()}
        return error_of_response(address, response.status_code, headers, bytes(response.body or b""))
    if isinstance(error, (OSError, EOFError, asyncio.TimeoutError, InvalidHandshake)):
        return TwinrailError("connection-lost", str(error) or type(error).__name__)
    log.error("The connection failed unexpectedly", exc_info=error)
    return TwinrailError("protocol-error", f"{type(error).__name__}: {error}")
