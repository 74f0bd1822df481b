"""Agents that a worker executes: async generators that yield the bodies of events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict
import inspect

if TYPE_CHECKING:
    from .worker_run import WorkerRun

Body = Mapping[str, Any]
"""The body of an event: `{"type": …, "data": …}`."""

AgentFunction = Callable[[Any, "WorkerRun"], AsyncGenerator[Body, None]]


class ChatFields(TypedDict, total=False):
    """The fields of an agent's input that a chat fills.

    `text` gets the last text of the user, and is shown as what the user said. `messages` gets the conversation, as a list
    of `{role, content}`.
    """

    text: str
    messages: str


class AgentError(Exception):
    """Raised by an agent to end its run as `run.failed` with a code of its own."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable


@dataclass(frozen=True)
class Agent:
    """An agent as a worker registers it. `@agent` makes one."""

    name: str
    description: str
    input: Mapping[str, Any]
    resume: bool
    run: AgentFunction
    chat: ChatFields | None = None


def agent(
    name: str,
    *,
    description: str = "",
    input: Mapping[str, Any] | None = None,
    resume: bool = False,
    chat: ChatFields | None = None,
) -> Callable[[AgentFunction], Agent]:
    """Makes an agent of an async generator function `(input, run)` that yields bodies of events.

    When it returns, the run completes, with `run.result` as its result. When it raises AgentError, the run fails with
    its code; with any other exception it fails as `agent-error`, and the logger `twinrail` has the cause. When the run is
    cancelled, it gets `asyncio.CancelledError`.

    Args:
        input: JSON Schema of the input; the server checks the input of each run. Default anything.
        resume: True says that another worker may go on with a run whose worker died: `run.resumed` is true there.
        chat: The fields of the input that foreign chats fill, such as `{"text": "query"}`. Default the one string field that
            `input` requires, or `prompt`, or `messages`.

    Raises:
        TypeError: the function has no `yield`.
    """

    def decorate(function: AgentFunction) -> Agent:
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"agent {name}: expected an async generator function, got one without a yield")
        return Agent(name, description or (function.__doc__ or name).strip(), input or {}, resume, function, chat)

    return decorate
