"""A run that a worker executes: what its agent gets, and how its events reach the log."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
import asyncio
import logging

from ._commands import new_id
from ._waits import pause
from ._http import json_of
from ._subscription import Message
from .agents import Agent, AgentError, Body
from .errors import TwinrailError
from .events import TERMINAL_TYPES, Event
from .session import Session

if TYPE_CHECKING:
    from .worker import Worker

log = logging.getLogger("twinrail")

# A frame has at most so many events and bytes.
FRAME_EVENTS = 500
FRAME_BYTES = 64 * 1024

# So many events and bytes of a run may be unacknowledged before its agent waits.
BUFFER_EVENTS = 256
BUFFER_BYTES = 256 * 1024


@dataclass(frozen=True)
class Answer:
    """The answer to a question: its value, who gave it, and where it lies in the log."""

    value: Any
    by: str | None
    offset: str | None


@dataclass(frozen=True)
class Steering:
    """A message of a user to a running agent."""

    text: str
    input_id: str
    by: str | None


class WorkerRun:
    """A run, as its agent sees it.

    Attributes:
        run_id, session_id, agent: What is executed.
        by: The principal that started it.
        start: The offset of `run.started`; `run.session.page(before=run.start)` is what was before it.
        resumed: An earlier worker began this run and died.
        session: A handle on the session, for its history and state.
        result: What `run.completed` says as its result; set it before the agent returns.
    """

    def __init__(self, worker: Worker, work: Message) -> None:
        self.run_id: str = work["runId"]
        self.session_id: str = work["sessionId"]
        self.agent: str = work["agent"]
        self.by: str | None = work.get("by")
        self.start: str = work["start"]
        self.resumed: bool = work.get("resumed", False)
        self.session = Session(worker._connection, self.session_id)
        self.result: Any = None
        self._worker = worker
        self._work_id: str = work["workId"]
        self._input: Any = work.get("input")
        self._after: str | None = None
        self._outbox: deque[tuple[Body, int, asyncio.Future[None]]] = deque()
        self._outbox_bytes = 0
        self._seq = 1
        self._added = asyncio.Event()
        self._room = asyncio.Event()
        self._answers: dict[str, asyncio.Future[Answer]] = {}
        self._steered: asyncio.Queue[Steering] = asyncio.Queue()
        self._applied: set[str] = set()
        self._over: str | None = None
        self._task: asyncio.Task[None] | None = None

    async def append(self, *events: Body) -> None:
        """Appends events, and returns once the log has them. Yielding them does not wait for that."""
        await asyncio.gather(*[await self._add(event) for event in events])

    async def ask(
        self,
        message: str,
        *,
        kind: Literal["approval", "question", "tool"] = "question",
        schema: Mapping[str, Any] | bool | None = None,
        tool_call_id: str | None = None,
        expires_at: int | None = None,
        request_id: str | None = None,
    ) -> Answer:
        """Asks the session's users, and waits for the first answer that the schema accepts.

        Args:
            expires_at: When the question expires, in ms since 1970.
            request_id: Give one of your own in an agent with `resume`: a question that an earlier worker asked under it
                is not asked again.

        Raises:
            TwinrailError: `input-expired`.
        """
        request_id = request_id or new_id()
        answer = self._answer_to(request_id)
        if not (self.resumed and await self._was_asked(request_id)):
            data = {
                "requestId": request_id,
                "kind": kind,
                "message": message,
                "schema": schema,
                "toolCallId": tool_call_id,
                "expiresAt": expires_at,
            }
            given = {name: value for name, value in data.items() if value is not None}
            await self.append({"type": "input.requested", "data": given})
        return await answer

    @property
    def steering(self) -> AsyncIterator[Steering]:
        """The messages of users to this run, each once, as they come. The log notes that the agent has read them."""
        return self._steering()

    async def _steering(self) -> AsyncIterator[Steering]:
        while True:
            steering = await self._steered.get()
            if steering.input_id in self._applied:
                continue
            self._applied.add(steering.input_id)
            await self._add({"type": "input.applied", "data": {"inputId": steering.input_id}})
            yield steering

    def _answer_to(self, request_id: str) -> asyncio.Future[Answer]:
        if request_id not in self._answers:
            self._answers[request_id] = asyncio.get_running_loop().create_future()
        return self._answers[request_id]

    async def _was_asked(self, request_id: str) -> bool:
        after: str | None = None
        while True:
            page = await self.session.page(run=self.run_id, after=after)
            for event in page.events:
                if event.type == "input.requested" and event.data["requestId"] == request_id:
                    return True
            if page.caught_up:
                return False
            after = page.next

    async def _add(self, event: Body) -> asyncio.Future[None]:
        """Buffers an event for the next frame. Waits while too much is unacknowledged."""
        body = {"type": event["type"], "data": event.get("data", {})}
        size = len(json_of(body).encode())
        while self._outbox and (len(self._outbox) >= BUFFER_EVENTS or self._outbox_bytes >= BUFFER_BYTES):
            self._room.clear()
            await self._room.wait()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outbox.append((body, size, done))
        self._outbox_bytes += size
        self._added.set()
        return done

    def _received(self, event: Event) -> None:
        self._after = event.offset
        data = event.data
        if event.type == "input.answered":
            answer = self._answer_to(data["requestId"])
            if not answer.done():
                answer.set_result(Answer(data["value"], event.by, event.offset))
        elif event.type == "input.expired":
            answer = self._answer_to(data["requestId"])
            if not answer.done():
                answer.set_exception(TwinrailError("input-expired", "Nobody answered in time"))
                answer.exception()  # nobody may wait for it
        elif event.type == "input.steered":
            self._steered.put_nowait(Steering(data["text"], data["inputId"], event.by))
        elif event.type == "input.applied":
            self._applied.add(data["inputId"])

    def _stop(self, code: str) -> None:
        """Nothing more may be appended."""
        self._over = self._over or code
        for _, _, done in self._outbox:
            done.cancel()
        self._outbox.clear()
        self._added.set()
        if self._task:
            self._task.cancel()

    async def _execute(self, agent: Agent) -> None:
        sending = asyncio.create_task(self._send())
        try:
            terminal = await self._terminal(agent)
            if terminal:
                await self._add(terminal)
            await sending
        finally:
            sending.cancel()

    async def _terminal(self, agent: Agent) -> Body | None:
        """Runs the agent to its end. Returns the terminal event, unless the agent has yielded its own."""
        try:
            async with aclosing(agent.run(self._input, self)) as events:
                async for event in events:
                    await self._add(event)
                    if event["type"] in TERMINAL_TYPES:
                        return None
        except AgentError as error:
            data = {"code": error.code, "message": error.message, "retryable": error.retryable}
            return {"type": "run.failed", "data": data}
        except Exception as error:
            log.error("The agent %s failed in the run %s", self.agent, self.run_id, exc_info=error)
            data = {"code": "agent-error", "message": "The agent raised an exception", "retryable": False}
            return {"type": "run.failed", "data": data}
        data = {"finishReason": "stop"}
        if self.result is not None:
            data["result"] = self.result
        return {"type": "run.completed", "data": data}

    async def _send(self) -> None:
        """Appends what is buffered, one frame after the other, until the terminal event is in the log."""
        while True:
            await self._added.wait()
            self._added.clear()
            while self._outbox and not self._over:
                frame = self._frame()
                await self._persist([body for body, _, _ in frame])
                if self._over:
                    return
                for body, size, done in frame:
                    self._outbox.popleft()
                    self._outbox_bytes -= size
                    if not done.done():
                        done.set_result(None)
                    if body["type"] in TERMINAL_TYPES:
                        return
                self._seq += len(frame)
                self._room.set()

    def _frame(self) -> list[tuple[Body, int, asyncio.Future[None]]]:
        frame: list[tuple[Body, int, asyncio.Future[None]]] = []
        size = 0
        for item in self._outbox:
            size += item[1]
            if frame and (len(frame) >= FRAME_EVENTS or size > FRAME_BYTES):
                break
            frame.append(item)
        return frame

    async def _persist(self, events: list[Body]) -> None:
        """Sends a frame until the server has answered: over the next connection when this one is lost."""
        failures = 0
        refused = False
        while not self._over:
            try:
                async with self._worker._frames:
                    socket = await self._worker._registered()
                    await socket.command(
                        {
                            "type": "work.append",
                            "id": new_id(),
                            "sessionId": self.session_id,
                            "workId": self._work_id,
                            "seq": self._seq,
                            "events": events,
                        }
                    )
                if refused:
                    self._stop("bad-event")
                return
            except TwinrailError as error:
                if error.code in ("connection-lost", "silent") or error.retryable:
                    wait_ms = self._worker._connection.backoff.wait_ms(failures, error.retry_after_ms or 0)
                    failures += 1
                    await pause(wait_ms, self._worker._connection.closing)
                elif error.code in ("bad-request", "too-large", "conflict") and not refused:
                    log.error("The run %s yielded what the server refuses: %s", self.run_id, error)
                    refused = True
                    data = {"code": "bad-event", "message": error.message, "retryable": False}
                    events = [{"type": "run.failed", "data": data}]
                else:
                    self._stop(error.code)
