"""The error of this package, for refusals of the server and for failures of the connection."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, NamedTuple
import json
import time


class _Row(NamedTuple):
    status: int
    close: int
    retryable: bool


# PROTOCOL.md, "Errors".
SERVER_CODES: Mapping[str, _Row] = {
    "bad-request": _Row(400, 4400, False),
    "unauthorized": _Row(401, 4401, False),
    "forbidden": _Row(403, 4403, False),
    "not-found": _Row(404, 4404, False),
    "session-not-found": _Row(404, 4404, False),
    "run-not-found": _Row(404, 4404, False),
    "agent-not-found": _Row(404, 4404, False),
    "input-not-found": _Row(404, 4404, False),
    "timeout": _Row(408, 4408, True),
    "conflict": _Row(409, 4409, False),
    "already-answered": _Row(409, 4409, False),
    "input-expired": _Row(409, 4409, False),
    "run-ended": _Row(409, 4409, False),
    "too-large": _Row(413, 1009, False),
    "unsupported-media-type": _Row(415, 4400, False),
    "rate-limited": _Row(429, 4429, True),
    "too-slow": _Row(503, 4431, True),
    "internal": _Row(500, 4500, True),
    "unavailable": _Row(503, 1013, True),
    "restart": _Row(503, 1012, True),
}

# The codes of the client itself, and whether another attempt may help.
CLIENT_CODES: Mapping[str, bool] = {
    # The connection broke, or ended before the stream did.
    "connection-lost": True,
    # Nothing was received for two and a half heartbeats.
    "silent": True,
    # The stream did not continue at the cursor.
    "out-of-step": True,
    # The answer does not follow the protocol: often a proxy's page, or a wrong URL.
    "protocol-error": False,
    # The application's `auth` function failed.
    "auth-failed": True,
    # The client was closed.
    "closed": False,
}


class TwinrailError(Exception):
    """A refusal of the server, or a failure of the connection.

    Attributes:
        code: A stable code for programs: one of PROTOCOL.md's "Errors", or `connection-lost`, `silent`, `out-of-step`,
            `protocol-error`, `auth-failed` or `closed` of the client itself. A newer server may send others.
        message: What happened, for people.
        retryable: Whether the same request may succeed later.
        retry_after_ms: The server's minimum wait before another attempt, in ms.
        details: The server's details, such as the winning answer of `already-answered`.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool | None = None,
        retry_after_ms: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        known = _retryable(code)
        self.retryable = retryable if retryable is not None else bool(known)
        self.retry_after_ms = retry_after_ms
        self.details: Mapping[str, Any] = details or {}


def _retryable(code: str) -> bool | None:
    row = SERVER_CODES.get(code)
    return row.retryable if row else CLIENT_CODES.get(code)


def error_of_refusal(
    refusal: Mapping[str, Any], status: int = 400, retry_after_ms: float | None = None
) -> TwinrailError:
    """The error of a `nack`, or of the body of an HTTP answer."""
    code = str(refusal["code"])
    retryable = refusal.get("retryable")
    if not isinstance(retryable, bool):
        known = _retryable(code)
        retryable = known if known is not None else _retryable_status(status)
    details = refusal.get("details")
    wait = refusal.get("retryAfterMs")
    return TwinrailError(
        code,
        str(refusal.get("message", "")),
        retryable=retryable,
        retry_after_ms=wait if isinstance(wait, (int, float)) else retry_after_ms,
        details=details if isinstance(details, dict) else None,
    )


def error_of_response(url: str, status: int, headers: Mapping[str, str], body: bytes) -> TwinrailError:
    """The error of an HTTP answer other than 2xx. A proxy's answer has no code; its status is enough."""
    wait = _retry_after(headers.get("retry-after"))
    try:
        refusal: Any = json.loads(body)
    except ValueError:
        refusal = None
    if isinstance(refusal, dict) and isinstance(refusal.get("error"), dict):
        refusal = refusal["error"]
    if isinstance(refusal, dict) and isinstance(refusal.get("code"), str):
        return error_of_refusal(refusal, status, wait)
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return TwinrailError(
        _code_of_status(status),
        f"{url} answered {status} {phrase}".rstrip(),
        retryable=_retryable_status(status),
        retry_after_ms=wait,
    )


def error_of_closing(closing: Mapping[str, Any]) -> TwinrailError:
    """The error of a `closing` message. An unknown code counts as retryable."""
    code = str(closing.get("code"))
    known = _retryable(code)
    wait = closing.get("retryAfterMs")
    return TwinrailError(
        code,
        str(closing.get("reason", "")),
        retryable=True if known is None else known,
        retry_after_ms=wait if isinstance(wait, (int, float)) else None,
    )


def error_of_close(close: int, reason: str) -> TwinrailError:
    """The error for a WebSocket's close code. 1000 is an error as well: the stream had not ended."""
    message = f"The WebSocket closed with {close}" + (f": {reason}" if reason else "")
    for code, row in SERVER_CODES.items():
        if row.close == close:
            return TwinrailError(code, message)
    final = close in (1002, 1003, 1007, 1008, 1010) or 4400 <= close < 4500
    return TwinrailError("protocol-error" if final else "connection-lost", message)


def _retryable_status(status: int) -> bool:
    return status in (408, 425, 429) or status >= 500


def _code_of_status(status: int) -> str:
    if status >= 500:
        return "internal" if status == 500 else "unavailable"
    if status == 404:
        return "not-found"
    return next((code for code, row in SERVER_CODES.items() if row.status == status), "bad-request")


def _retry_after(header: str | None) -> float | None:
    """`Retry-After` in ms: whole seconds, or an HTTP date."""
    if header is None:
        return None
    if header.isdecimal():
        return int(header) * 1000
    try:
        return max(0.0, (parsedate_to_datetime(header).timestamp() - time.time()) * 1000)
    except ValueError:
        return None
