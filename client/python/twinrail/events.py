"""What a session's stream yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union

TERMINAL_TYPES = frozenset({"run.completed", "run.failed", "run.cancelled"})


@dataclass(frozen=True)
class Event:
    """An event of a session. PROTOCOL.md, "Events", lists the types and their data.

    Attributes:
        type: Such as `text.delta`, or `x.<name>` for the application's own.
        data: As JSON has it.
        session_id: The session that it belongs to.
        offset: Its position in the log, and a safe cursor; `None` for an ephemeral event, which is not logged.
        time: The server's clock in ms since 1970, for display only.
        run_id: The run that it belongs to, if any.
        by: The principal that caused it, if any.
        from_offset: Of neighbouring deltas that the server joined into one event, the offset of the first one.
        raw: The message as it was received, with fields that this version does not know.
    """

    type: str
    data: Any
    session_id: str
    offset: str | None
    time: int
    run_id: str | None
    by: str | None
    from_offset: str | None
    raw: Mapping[str, Any]

    @property
    def ephemeral(self) -> bool:
        """Whether the event is not logged."""
        return self.offset is None

    @property
    def terminal(self) -> bool:
        """Whether the event ends its run."""
        return self.type in TERMINAL_TYPES


@dataclass(frozen=True)
class Gap:
    """These events will not be delivered, both offsets included."""

    from_offset: str
    to_offset: str
    reason: str
    """`trimmed`: the log no longer holds them; `skipped`: this follower was too slow for the policy `skip`."""
    type: Literal["gap"] = "gap"


@dataclass(frozen=True)
class Reset:
    """All events that the stream has yielded are void; it goes on from the beginning of the session's log."""

    reason: str
    """`epoch`, `ahead` or `lost`."""
    head: str
    type: Literal["reset"] = "reset"


@dataclass(frozen=True)
class CaughtUp:
    """The backlog is delivered; later events are live. It comes again after each reconnect."""

    offset: str
    type: Literal["caught-up"] = "caught-up"


@dataclass(frozen=True)
class End:
    """The stream is over."""

    reason: str
    """`run-ended` or `deleted`."""
    run_id: str | None
    type: Literal["end"] = "end"


StreamItem = Union[Event, Gap, Reset, CaughtUp, End]
"""Everything that a stream yields. `type` tells them apart: events are the types with a dot."""


@dataclass(frozen=True)
class Page:
    """A page of a session's log.

    Attributes:
        events: In the order of the log.
        controls: The `Reset`, `Gap` and `End` that a stream would yield.
        next: The `after` of the next page; of a page backwards, the next `before`.
        caught_up: Whether the log has no more events in this direction.
        head: The offset of the newest event.
        earliest: The oldest offset that the log still holds.
    """

    events: list[Event]
    controls: list[Gap | Reset | CaughtUp | End]
    next: str
    caught_up: bool
    head: str
    earliest: str


def event_of(message: Mapping[str, Any]) -> Event:
    return Event(
        type=message["type"],
        data=message.get("data"),
        session_id=message["sessionId"],
        offset=message.get("offset"),
        time=message.get("time", 0),
        run_id=message.get("runId"),
        by=message.get("by"),
        from_offset=message.get("from"),
        raw=message,
    )


def control_of(message: Mapping[str, Any]) -> Gap | Reset | CaughtUp | End | None:
    """A control message that a stream yields; `None` for those that concern the connection only."""
    kind = message["type"]
    if kind == "gap":
        return Gap(message["from"], message["to"], message["reason"])
    if kind == "reset":
        return Reset(message["reason"], message["head"])
    if kind == "caught-up":
        return CaughtUp(message["offset"])
    if kind == "end":
        return End(message["reason"], message.get("runId"))
    return None
