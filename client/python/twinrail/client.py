"""The client: one for each server, for any number of sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any
import ssl

from ._commands import new_id
from ._connection import Connection
from .backoff import Backoff
from .credentials import Auth
from .session import Session


class Client:
    """A client of one server. It opens no connection before it is used; close it when it is no longer needed.

    It belongs to the event loop in which it is used first. Streams share one WebSocket, unless the same session is
    followed more than once.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: Auth | None = None,
        backoff: Backoff | None = None,
        ssl: ssl.SSLContext | None = None,
    ) -> None:
        """
        Args:
            url: The server's address, without `/v1`.
            auth: Returns a token, a `Token` with its expiry, or headers. Default no credentials.
            backoff: The waits before reconnects and before commands are sent again.
            ssl: For `https` with certificates of your own. Default that of `ssl.create_default_context()`.

        Raises:
            ValueError: `url` is not an address.
        """
        self._connection = Connection(url, auth, backoff, ssl)

    def session(self, id: str | None = None) -> Session:
        """A handle on a session, by default on a new one with an id of 128 random bits. Sends no request."""
        return Session(self._connection, id or new_id())

    async def agents(self) -> Sequence[Mapping[str, Any]]:
        """The agents of the server, `{name, description, input}`, with `input` as JSON Schema."""
        answer: Mapping[str, Any] = await self._connection.request("GET", "agents")
        agents: Sequence[Mapping[str, Any]] = answer["agents"]
        return agents

    async def sessions(self, *, after: str | None = None, limit: int | None = None) -> Mapping[str, Any]:
        """A page of the sessions that you may read, the last active ones first: `{sessions, next?, pollMs}`."""
        query = {"after": after, "limit": limit}
        answer: Mapping[str, Any] = await self._connection.request("GET", "sessions", query=query)
        return answer

    async def aclose(self) -> None:
        """Ends all streams without an error, and pending commands with the code `closed`. Runs go on."""
        await self._connection.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
