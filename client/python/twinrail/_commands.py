"""Sends commands over a WebSocket or by POST. Every command is safe to retry. PROTOCOL.md, "Commands"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
import secrets

from ._connection import Connection
from ._waits import pause
from .errors import TwinrailError

# Attempts while the server is unreachable or refuses for now.
ATTEMPTS = 5


def new_id() -> str:
    """A new id of 128 random bits."""
    return secrets.token_hex(16)


def session_path(session_id: str) -> str:
    return f"sessions/{quote(session_id, safe='')}"


async def send_command(
    connection: Connection, session_id: str, command: Mapping[str, Any], key: str | None
) -> Mapping[str, Any]:
    """Sends one command and returns its `ack`. Every attempt has the same key, so that it takes effect once.

    Raises:
        TwinrailError: the server's refusal, or the failure of the last attempt.
    """
    message = {"id": new_id(), "key": key or new_id(), **command, "sessionId": session_id}
    path = f"{session_path(session_id)}/commands"
    failures = 0
    refused = False
    while True:
        socket = None if refused else connection.sockets.ready
        try:
            if socket:
                return await socket.command(message)
            ack: Mapping[str, Any] = await connection.request("POST", path, message)
            return ack
        except TwinrailError as error:
            if socket and error.code == "unauthorized" and connection.credentials.refused(socket.credential):
                refused = True
                continue
            failures += 1
            if connection.closed or not error.retryable or failures >= ATTEMPTS:
                raise
            wait_ms = connection.backoff.wait_ms(failures - 1, error.retry_after_ms or 0)
        await pause(wait_ms, connection.closing)
        connection.check_open()
