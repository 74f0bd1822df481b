"""One HTTP/1.1 request on a connection of its own. asyncio can cancel it, unlike the standard library's clients."""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPException, parse_headers
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit
import asyncio
import io
import json
import re
import ssl

from ._waits import within
from .errors import TwinrailError, error_of_response

# Deadline for a request that the server normally answers at once, in seconds.
ANSWER_S = 10.0

# Longest answer that is read: a page has at most 1 MiB of events, and JSON around it.
ANSWER_BYTES = 8 * 1024 * 1024

_UNSAFE = re.compile(r"[\r\n\0]")


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


def endpoint(url: str, path: str, query: Mapping[str, Any] | None = None) -> str:
    """The address of `path` below `/v1/` on the server at `url`. Options that are `None` are left out."""
    parts = urlsplit(url)
    given = {
        name: ("1" if value else "0") if isinstance(value, bool) else str(value)
        for name, value in (query or {}).items()
        if value is not None
    }
    address = parts._replace(path=f"{parts.path.rstrip('/')}/v1/{path}", query=urlencode(given), fragment="")
    return address.geturl()


def check_url(url: str) -> None:
    """Raises ValueError unless `url` is the address of a server."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"url is {url!r}; expected http://<host> or https://<host>, without /v1")
    _ = parts.port  # raises ValueError itself


def json_of(value: Any) -> str:
    """JSON as text. Raises TypeError or ValueError for values that JSON does not have, such as NaN or half a character."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    text.encode()
    return text


async def request_json(
    method: str,
    address: str,
    headers: Mapping[str, str],
    body: Any = None,
    tls: ssl.SSLContext | None = None,
) -> Any:
    """Sends a request and returns the JSON of its answer; `None` for one without a body.

    Raises:
        TwinrailError: the server's refusal, `silent`, `connection-lost` or `protocol-error`.
    """
    sent = None if body is None else json_of(body).encode()
    try:
        answer = await within(ANSWER_S, _exchange(method, address, headers, sent, tls))
    except asyncio.TimeoutError:
        raise TwinrailError("silent", f"{address} did not answer within {ANSWER_S:g} s") from None
    except (OSError, EOFError) as error:
        raise TwinrailError("connection-lost", str(error) or type(error).__name__) from error
    except (HTTPException, asyncio.LimitOverrunError, ValueError) as error:
        raise TwinrailError("protocol-error", f"{address} did not answer in HTTP: {error}") from error
    if not 200 <= answer.status < 300:
        raise error_of_response(address, answer.status, answer.headers, answer.body)
    if answer.status == 204:
        return None
    kind = answer.headers.get("content-type", "no content type").split(";")[0].strip().lower()
    try:
        if kind != "application/json":
            raise ValueError(kind)
        return json.loads(answer.body)
    except ValueError:
        raise TwinrailError(
            "protocol-error",
            f"{address} answered with {kind}, expected application/json: is it a Twinrail server?",
        ) from None


async def _exchange(
    method: str,
    address: str,
    headers: Mapping[str, str],
    body: bytes | None,
    tls: ssl.SSLContext | None,
) -> Answer:
    parts = urlsplit(address)
    secure = parts.scheme == "https"
    fields = {
        "host": parts.netloc.rpartition("@")[2],
        **{name.lower(): value for name, value in headers.items()},
        "accept": "application/json",
        "connection": "close",
    }
    if body is not None:
        fields |= {"content-type": "application/json", "content-length": str(len(body))}
    for name, value in fields.items():
        if _UNSAFE.search(name + value):
            raise TwinrailError("auth-failed", f"The header {name!r} has a line break", retryable=False)
    reader, writer = await asyncio.open_connection(
        parts.hostname,
        parts.port or (443 if secure else 80),
        ssl=(tls or ssl.create_default_context()) if secure else None,
    )
    try:
        target = parts._replace(scheme="", netloc="").geturl()
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        writer.write("\r\n".join([*lines, "\r\n"]).encode("latin-1") + (body or b""))
        # A refusal may come before all of the body is sent, so the answer is awaited right away.
        return await _answer(reader)
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> Answer:
    status = 100
    while status < 200:  # 103 Early Hints, for example, comes before the answer
        status_line, _, rest = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
        match = re.match(rb"HTTP/1\.[01] (\d{3})", status_line)
        if not match:
            raise ValueError(f"the answer begins with {status_line[:40]!r}")
        status = int(match[1])
    headers = {name.lower(): value for name, value in parse_headers(io.BytesIO(rest)).items()}
    if status in (204, 304):
        return Answer(status, headers, b"")
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return Answer(status, headers, await _chunks(reader))
    if "content-length" in headers:
        return Answer(status, headers, await reader.readexactly(_bounded(int(headers["content-length"]))))
    body = bytearray()
    while part := await reader.read(64 * 1024):
        body += part
        _bounded(len(body))
    return Answer(status, headers, bytes(body))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        _bounded(len(body) + size)
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    return bytes(body)


def _bounded(size: int) -> int:
    if not 0 <= size <= ANSWER_BYTES:
        raise ValueError(f"the answer has {size} bytes, expected at most {ANSWER_BYTES}")
    return size
