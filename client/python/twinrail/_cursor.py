"""A subscription's position in the log. PROTOCOL.md, "Ids, offsets, cursors"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
import re

from .errors import TwinrailError

_OFFSET = re.compile(r"([1-9][0-9]{0,15})-(0|[1-9][0-9]{0,15})")


def position_of(offset: Any) -> tuple[str, int]:
    """The epoch and the number of an offset that the server sent."""
    match = _OFFSET.fullmatch(offset) if isinstance(offset, str) else None
    if not match:
        raise TwinrailError("protocol-error", f"The server sent a malformed offset: {offset!r}")
    return match[1], int(match[2])


class Cursor:
    """Keeps the last offset only. Offsets are monotonic, so it is enough to detect duplicates."""

    def __init__(self, after: str | None, contiguous: bool) -> None:
        """`contiguous` says whether every offset is expected; a stream of one run leaves others out."""
        self.offset = after
        """The offset to resume after; `None` is the start of the log."""
        self._contiguous = contiguous
        self._start: str | None = None  # where delivery on this connection starts, as `subscribed` says

    def take(self, message: Mapping[str, Any]) -> bool:
        """Advances past a message. Returns `False` for a duplicate.

        Raises:
            TwinrailError: `out-of-step` when an event leaves a hole or overlaps what was delivered.
        """
        kind = message["type"]
        if "." in kind:
            return self._event(message) if "offset" in message else True
        if kind == "subscribed":
            self._start = message["after"]
            self._advance(message["after"])
        elif kind == "caught-up":
            self._advance(message["offset"])
        elif kind == "gap":
            self._advance(message["to"])
        elif kind == "reset":
            self._reset(message["head"])
        return True

    def _event(self, event: Mapping[str, Any]) -> bool:
        offset = event["offset"]
        epoch, seq = position_of(offset)
        if self.offset is not None:
            seen_epoch, seen = position_of(self.offset)
            if seen_epoch == epoch and seq <= seen:
                return False
            first = position_of(event.get("from", offset))[1]
            fits = first == seen + 1 if self._contiguous else first > seen
            if not fits or seen_epoch != epoch:
                raise TwinrailError("out-of-step", f"{event.get('from', offset)} came after {self.offset}")
        self.offset = offset
        return True

    def _advance(self, offset: str) -> None:
        epoch, seq = position_of(offset)
        if self.offset is not None:
            seen_epoch, seen = position_of(self.offset)
            if seen_epoch == epoch and seq <= seen:
                return
        self.offset = offset

    def _reset(self, head: str) -> None:
        """Drops the position. The connection's start stays valid when it belongs to the new log."""
        epoch, seq = position_of(head)
        start = None if self._start is None else position_of(self._start)
        self.offset = self._start if start and start[0] == epoch and start[1] <= seq else None
