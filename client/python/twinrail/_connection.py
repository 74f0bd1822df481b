"""How a client reaches its server. Its sessions, runs and streams share it."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar
import asyncio
import ssl

from ._http import check_url, endpoint, request_json
from ._socket import SocketPool
from .backoff import Backoff
from .credentials import Auth, Credentials
from .errors import TwinrailError


T = TypeVar("T")


class Connection:
    def __init__(self, url: str, auth: Auth | None, backoff: Backoff | None, tls: ssl.SSLContext | None) -> None:
        check_url(url)
        self.backoff = backoff or Backoff()
        self.credentials = Credentials(auth)
        self.sockets = SocketPool(url, self.credentials, tls)
        self.closing = asyncio.Event()
        """Set once the client is closed."""
        self._url = url
        self._tls = tls

    @property
    def closed(self) -> bool:
        return self.closing.is_set()

    def check_open(self) -> None:
        if self.closed:
            raise closed()

    async def request(
        self, method: str, path: str, body: Any = None, query: Mapping[str, Any] | None = None
    ) -> Any:
        """Requests JSON. After `unauthorized` it asks `auth` again and repeats the request once.

        Raises:
            TwinrailError: the server's refusal, `silent`, `connection-lost` or `protocol-error`; `closed` on a closed
                client.
        """
        self.check_open()
        address = endpoint(self._url, path, query)
        credential = await self.credentials.get()
        try:
            return await self._unless_closed(
                request_json(method, address, credential.headers, body, self._tls)
            )
        except TwinrailError as error:
            if error.code != "unauthorized" or not self.credentials.refused(credential):
                raise
        credential = await self.credentials.get()
        return await self._unless_closed(request_json(method, address, credential.headers, body, self._tls))

    async def close(self) -> None:
        self.closing.set()
        await self.sockets.close(closed())

    async def _unless_closed(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(work)
        closing = asyncio.ensure_future(self.closing.wait())
        try:
            await asyncio.wait({task, closing}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise closed()
        finally:
            task.cancel()
            closing.cancel()


def closed() -> TwinrailError:
    return TwinrailError("closed", "The client was closed")
