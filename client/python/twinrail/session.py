"""Handles on a session and on a run: their events and commands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal, TypedDict

from ._commands import new_id, send_command, session_path
from ._connection import Connection
from .errors import TwinrailError
from .events import Event, Page, control_of, event_of
from .stream import EventStream

Replay = Literal["compact", "full", "none"]
Lag = Literal["conflate", "wait", "skip", "disconnect"]

Ack = Mapping[str, Any]
"""The server's answer to a command: PROTOCOL.md, "Commands", lists its fields."""


class CancelAfter(TypedDict):
    cancelAfterMs: int


class Session:
    """A handle on a session. It sends no request by itself, and the session need not exist yet.

    All commands are safe to retry: the client sends a command again while the server is unreachable, and it takes effect
    once. Each returns its ack, and raises TwinrailError: the server's refusal, the failure of the last of five attempts,
    or `closed` when the client was closed.
    """

    def __init__(self, connection: Connection, id: str) -> None:
        self.id = id
        self._connection = connection

    def events(
        self,
        *,
        after: str | None = None,
        run: str | None = None,
        replay: Replay | None = None,
        lag: Lag | None = None,
        last: int | None = None,
        create: bool = False,
        heartbeat_ms: int | None = None,
    ) -> EventStream:
        """Follows the session over a WebSocket.

        Args:
            after: Start after this offset; without it, at the earliest event that the log holds.
            run: Only this run's events; the stream ends with the run.
            replay: `compact` folds the backlog and is the default, `full` never folds, `none` starts at the head.
            lag: What the server does when this follower falls behind. Default `conflate`.
            last: Start this many events before the head; `after` takes precedence.
            create: Create the session if it does not exist, which needs the right to. A reconnect has a cursor and
                never creates it again.
            heartbeat_ms: The server's heartbeat, from 1000 to 60000; default the server's own, 15000. A connection
                that is silent for 2.5 times as long is dropped.
        """
        return EventStream(
            self._connection,
            self.id,
            {
                "after": after,
                "run": run,
                "replay": replay,
                "lag": lag,
                "last": last,
                "create": create or None,
                "heartbeatMs": heartbeat_ms,
            },
        )

    async def start(
        self,
        agent: str,
        input: Any = None,
        *,
        run_id: str | None = None,
        on_no_viewers: Literal["continue"] | CancelAfter | None = None,
        key: str | None = None,
    ) -> Run:
        """Starts a run of an agent, and returns a handle on it once the server has accepted it.

        Args:
            run_id: Starting a run again under the same id attaches to it. Default a new id of 128 random bits.
            on_no_viewers: `{"cancelAfterMs": n}` cancels the run when nobody has followed it for so long. Default
                `"continue"`.
        """
        run_id = run_id or new_id()
        command = {
            "type": "run.start",
            "agent": agent,
            "runId": run_id,
            "onNoViewers": on_no_viewers,
        }
        # `None` is a valid input, while options that are `None` are left out.
        ack = await self._send(command, key, input=input)
        return Run(self, run_id, ack)

    def run(self, run_id: str) -> Run:
        """A handle on a run that somebody has started."""
        return Run(self, run_id, None)

    async def cancel(self, run_id: str, reason: str | None = None, *, key: str | None = None) -> Ack:
        """Cancels a run. Raises TwinrailError `run-ended` when it has ended."""
        return await self._send({"type": "run.cancel", "runId": run_id, "reason": reason}, key)

    async def steer(self, run_id: str, text: str, *, key: str | None = None) -> Ack:
        """Sends a message to the agent of a run. Raises TwinrailError `run-ended` or `run-not-found`."""
        return await self._send({"type": "input.steer", "runId": run_id, "text": text}, key)

    async def answer(self, request_id: str, value: Any, *, key: str | None = None) -> Ack:
        """Answers a question of a run.

        Raises TwinrailError `already-answered` with the accepted answer in `details`, `input-not-found`,
        `input-expired`, or `bad-request` when the question's schema refuses the value.
        """
        return await self._send({"type": "input.answer", "requestId": request_id}, key, value=value)

    async def publish(
        self,
        type: str,
        data: Any = None,
        *,
        run_id: str | None = None,
        ephemeral: bool = False,
        key: str | None = None,
    ) -> Ack:
        """Publishes an event of the application's own, `x.<name>`.

        Args:
            ephemeral: True delivers it to the current live subscriptions only and does not log it.
            key: Of all events that the same principal publishes under one key within 24 h, the session gets the first.
                A job that may run twice gives its own; by default each call has a new one.
        """
        event = {"type": type, "data": data, **({"runId": run_id} if run_id is not None else {})}
        return await self._send({"type": "publish", "event": event, "ephemeral": ephemeral or None}, key)

    async def create(self, metadata: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """Creates the session unless it exists; returns `{sessionId, head}`. The request is not repeated."""
        body = {"sessionId": self.id, **({"metadata": metadata} if metadata is not None else {})}
        return _object(await self._connection.request("POST", "sessions", body))

    async def update(self, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
        """Changes the metadata by a JSON Merge Patch: `None` removes a field. The request is not repeated."""
        return _object(await self._connection.request("PATCH", session_path(self.id), {"metadata": metadata}))

    async def delete(self) -> None:
        """Deletes the session with its log, if it exists. The request is not repeated."""
        await self._connection.request("DELETE", session_path(self.id))

    async def state(self) -> Mapping[str, Any]:
        """The session's metadata, head, runs and open questions, as `GET /v1/sessions/:sessionId` gives them."""
        return _object(await self._connection.request("GET", session_path(self.id)))

    async def page(
        self,
        *,
        after: str | None = None,
        before: str | None = None,
        run: str | None = None,
        replay: Replay | None = None,
        last: int | None = None,
        limit: int | None = None,
    ) -> Page:
        """A page of the session's log, for history that need not be followed. The request is not repeated.

        Args:
            before: Page backwards: the events just before this offset.
            limit: At most this many events, from 1 to 1000; a page has at most 1 MiB. Default 1000.
        """
        query = {
            "after": after,
            "before": before,
            "run": run,
            "replay": replay,
            "last": last,
            "limit": limit,
        }
        page = await self._connection.request("GET", f"{session_path(self.id)}/events", query=query)
        return Page(
            events=[event_of(event) for event in page["events"]],
            controls=[control for message in page["controls"] if (control := control_of(message))],
            next=page["next"],
            caught_up=page["caughtUp"],
            head=page["head"],
            earliest=page["earliest"],
        )

    async def _send(self, command: Mapping[str, Any], key: str | None, **fields: Any) -> Ack:
        self._connection.check_open()
        given = {name: value for name, value in command.items() if value is not None}
        return await send_command(self._connection, self.id, {**given, **fields}, key)


class Run:
    """A handle on one run. Dropping it neither cancels the run nor closes a stream."""

    def __init__(self, session: Session, run_id: str, ack: Ack | None) -> None:
        self.session = session
        self.run_id = run_id
        self.ack = ack
        """The ack of the start; `None` for a run that was attached to."""

    def events(self, *, after: str | None = None, replay: Replay | None = None) -> EventStream:
        """The run's events, from its start to its terminal event."""
        return self.session.events(run=self.run_id, after=after, replay=replay)

    async def text(self) -> AsyncIterator[str]:
        """The deltas of the run's text, in order."""
        async with self.events() as events:
            async for event in events:
                if event.type == "text.delta" and isinstance(event, Event):
                    yield event.data["delta"]

    async def done(self) -> Event:
        """Follows the run to its end, and returns its terminal event: completed, failed or cancelled.

        Raises TwinrailError `closed` when the stream ended before the run did.
        """
        async with self.events() as events:
            async for event in events:
                if isinstance(event, Event) and event.terminal:
                    return event
        raise TwinrailError("closed", f"The stream ended before run {self.run_id} did")

    async def cancel(self, reason: str | None = None) -> Ack:
        """Cancels the run. Raises TwinrailError `run-ended` when it has ended."""
        return await self.session.cancel(self.run_id, reason)

    async def steer(self, text: str) -> Ack:
        """Sends a message to the agent. Raises TwinrailError `run-ended` when the run has ended."""
        return await self.session.steer(self.run_id, text)


def _object(answer: Any) -> Mapping[str, Any]:
    if not isinstance(answer, dict):
        raise TwinrailError("protocol-error", "The server's answer is not a JSON object")
    return answer
