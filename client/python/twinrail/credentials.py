"""Credentials that the application's `auth` function gives, renewed before they expire and after a refusal."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Union
import asyncio
import inspect
import json
import math
import time

from .errors import TwinrailError


@dataclass(frozen=True)
class Token:
    """A bearer token, with the time at which it expires in ms since 1970, if that is known."""

    token: str
    expires_at: float | None = None


AuthResult = Union[str, Token, Mapping[str, str]]
"""A token, or headers for servers with an `authorize` hook of their own."""

Auth = Callable[[], Union[AuthResult, Awaitable[AuthResult]]]
"""The application's function that gets credentials, plain or async.

It is called at the first use, before the credentials expire, and after the server has refused them; never twice at a
time. When it raises, streams and commands try again as after a lost connection; when it raises a TwinrailError that is
not retryable, they end with it.
"""


class Credential:
    """Credentials as they are sent. Two are the same only when they are one object."""

    def __init__(self, headers: Mapping[str, str], token: str | None = None, expires_at: float = math.inf) -> None:
        self.headers = dict(headers)
        self.token = token
        self.expires_at = expires_at  # in ms since 1970, by this machine's clock


class Credentials:
    """The credentials of one client, shared by all its streams and commands."""

    def __init__(self, auth: Auth | None) -> None:
        self._auth = auth
        self._current = None if auth else Credential({})
        self._asking = asyncio.Lock()

    @property
    def renews(self) -> bool:
        """Whether new ones can be had."""
        return self._auth is not None

    async def get(self) -> Credential:
        """The credentials to send now. Raises TwinrailError when `auth` fails."""
        return await self._other_than(None)

    async def renewed(self, old: Credential) -> Credential:
        """Credentials to take the place of `old`, which may still be valid."""
        return await self._other_than(old)

    def refused(self, credential: Credential) -> bool:
        """Takes note that the server refused them. Returns whether `get` gives new ones then."""
        if not self.renews:
            return False
        # All attempts that were refused with the same credentials ask once.
        if credential is self._current:
            self._current = None
        return True

    async def _other_than(self, old: Credential | None) -> Credential:
        async with self._asking:
            current = self._current
            if current and current is not old and time.time() * 1000 < current.expires_at:
                return current
            self._current = await self._ask()
            return self._current

    async def _ask(self) -> Credential:
        if self._auth is None:
            return Credential({})
        try:
            result = self._auth()
            given: Any = await result if inspect.isawaitable(result) else result
            return _credential_of(given)
        except TwinrailError:
            raise
        except Exception as error:
            raise TwinrailError("auth-failed", f"The client's auth function failed: {error!r}") from error


def _credential_of(given: Any) -> Credential:
    if isinstance(given, str):
        given = Token(given)
    if isinstance(given, Token):
        expires_at = given.expires_at if given.expires_at is not None else _expiry_of(given.token)
        # An expiry in the past counts as unknown: this machine's clock may be wrong, and the server refuses what has
        # expired.
        if expires_at is None or expires_at <= time.time() * 1000:
            expires_at = math.inf
        return Credential({"authorization": f"Bearer {given.token}"}, given.token, expires_at)
    if isinstance(given, Mapping):
        return Credential(given)
    raise TypeError(f"auth returned {type(given).__name__}, expected a str, a Token, or a mapping of headers")


def _expiry_of(token: str) -> float | None:
    """The `exp` of a JSON Web Token in ms. The server checks the token, so this only reads it."""
    try:
        payload = token.split(".")[1]
        exp = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]
        return float(exp) * 1000
    except (IndexError, KeyError, TypeError, ValueError):
        return None
