"""Executes runs of agents outside the server. PROTOCOL.md, "Workers"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any
import asyncio
import logging
import ssl

from ._commands import new_id
from ._connection import Connection
from ._waits import pause
from ._socket import SharedSocket
from ._subscription import Message
from .agents import Agent
from .backoff import Backoff
from .credentials import Auth
from .errors import TwinrailError
from .events import event_of
from .worker_run import WorkerRun

log = logging.getLogger("twinrail")

# So many frames of a connection may be unanswered.
FRAMES = 16


class Worker:
    """Executes runs of agents, several at a time. `await worker.run()` works until it is drained or cancelled."""

    def __init__(
        self,
        url: str,
        agents: Sequence[Agent],
        *,
        slots: int = 10,
        auth: Auth | None = None,
        backoff: Backoff | None = None,
        ssl: ssl.SSLContext | None = None,
    ) -> None:
        """
        Args:
            url: The server's address, without `/v1`.
            slots: How many runs are executed at a time, from 1 to 1000.
            auth: As for Client; it needs the rights `produce` and `work:<agent>`.
        """
        self._connection = Connection(url, auth, backoff, ssl)
        self._agents = {agent.name: agent for agent in agents}
        self._slots = slots
        self._runs: dict[str, WorkerRun] = {}
        self._frames = asyncio.Semaphore(FRAMES)
        self._socket: SharedSocket | None = None
        self._is_registered = asyncio.Event()
        self._greeted = asyncio.Event()
        self._changed = asyncio.Event()
        self._failure: TwinrailError | None = None
        self._draining = False
        self._was_registered = False

    def drain(self) -> None:
        """Takes no further runs; `run` returns when those that it has are over. Fits `loop.add_signal_handler`."""
        self._draining = True
        self._changed.set()

    async def run(self) -> None:
        """Works until it is drained. Cancelling it stops the agents at once; their runs end with their leases.

        Raises:
            TwinrailError: the server refuses this worker for good.
        """
        failures = 0
        try:
            while not (self._draining and not self._runs):
                try:
                    await self._work()
                except TwinrailError as error:
                    if not error.retryable and not self._may_authorize(error, failures):
                        raise
                    failures = 0 if self._was_registered else failures
                    self._was_registered = False
                    wait_ms = self._connection.backoff.wait_ms(failures, error.retry_after_ms or 0)
                    failures += 1
                    log.info("The worker connects again in %.0f ms: %s", wait_ms, error)
                    await pause(wait_ms, self._connection.closing)
        finally:
            tasks = [run._task for run in self._runs.values() if run._task]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._connection.close()

    async def __aenter__(self) -> Worker:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    def _may_authorize(self, error: TwinrailError, failures: int) -> bool:
        """Whether new credentials may help: the socket has noted that the old ones were refused."""
        return error.code == "unauthorized" and self._connection.credentials.renews and failures < 2

    async def _work(self) -> None:
        """Registers on a new connection, and renews until it fails or nothing is left to do."""
        self._failure = None
        self._greeted.clear()
        credential = await self._connection.credentials.get()
        socket = self._socket = self._connection.sockets.work(credential, self)
        while not self._greeted.is_set():
            await pause(1000, self._greeted, self._changed)
            self._check()
        agents = [
            {
                "name": agent.name,
                "description": agent.description,
                "input": agent.input,
                **({"resume": True} if agent.resume else {}),
                **({"chat": agent.chat} if agent.chat else {}),
            }
            for agent in self._agents.values()
        ]
        works = [
            {
                "workId": run._work_id,
                "sessionId": run.session_id,
                "runId": run.run_id,
                "agent": run.agent,
                **({"after": run._after} if run._after else {}),
            }
            for run in self._runs.values()
        ]
        ack = await self._register(socket, {"agents": agents, "works": works})
        self._is_registered.set()
        self._was_registered = True
        while True:
            self._changed.clear()
            if self._draining and not self._runs:
                return
            await pause(ack["renewMs"] / 2, self._changed)
            self._check()
            ack = await self._register(socket, {})

    async def _register(self, socket: SharedSocket, more: Mapping[str, Any]) -> Message:
        slots = 0 if self._draining else self._slots
        return await socket.command({"type": "worker", "id": new_id(), "slots": slots, **more})

    async def _registered(self) -> SharedSocket:
        while not self._is_registered.is_set():
            await self._is_registered.wait()
        assert self._socket
        return self._socket

    def _check(self) -> None:
        if self._failure:
            raise self._failure

    # What the socket tells.

    def greeted(self) -> None:
        self._greeted.set()

    def failed(self, error: TwinrailError) -> None:
        self._is_registered.clear()
        self._failure = error
        self._changed.set()

    def received(self, message: Message) -> None:
        kind, work_id = message["type"], message["workId"]
        if kind == "work":
            self._begin(message)
            return
        run = self._runs.get(work_id)
        if not run:
            return
        if kind == "work-input":
            run._received(event_of(message["event"]))
        else:
            run._stop(message["code"])

    def _begin(self, work: Message) -> None:
        run = self._runs[work["workId"]] = WorkerRun(self, work)
        run._task = asyncio.create_task(run._execute(self._agents[run.agent]), name=f"run {run.run_id}")

        def ended(task: asyncio.Task[None]) -> None:
            del self._runs[run._work_id]
            if self._draining:
                self._changed.set()
            if not task.cancelled() and task.exception():
                log.error("The run %s failed unexpectedly", run.run_id, exc_info=task.exception())

        run._task.add_done_callback(ended)
