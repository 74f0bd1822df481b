"""Waits that end: after a time, or early."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar
import asyncio


T = TypeVar("T")


async def within(seconds: float | None, work: Awaitable[T]) -> T:
    """Returns the result of work that may take so many seconds; `None`: any time. Work that is not over then is cancelled.

    Unlike `asyncio.wait_for` before Python 3.12, it never loses a cancellation that comes together with the result: a
    task that was told to end would go on for ever.

    Raises:
        asyncio.TimeoutError: the time is over.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise asyncio.TimeoutError
        return task.result()
    finally:
        if not task.cancel() and not task.cancelled():
            task.exception()  # of a failure that nobody waits for any more, asyncio would complain


async def pause(ms: float, *early: asyncio.Event) -> None:
    """Waits for a time, or until one of the events is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in early]
    try:
        await asyncio.wait(waits, timeout=max(0.0, ms / 1000), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
