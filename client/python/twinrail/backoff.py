"""Waits between attempts to connect or to send a command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import math
import random


@dataclass(frozen=True)
class Backoff:
    """The waits between attempts: random times below a bound that doubles with each failure.

    Attributes:
        base_ms: Upper bound of the first wait, in ms.
        cap_ms: Upper bound of every wait, in ms. A wait that the server asks for is added to it.
        attempts: Number of consecutive failures of a stream that are retried before the error is raised; 0 raises the
            first one.
        stable_ms: A connection that lasts this long resets the count of failures, in ms.
        random: Returns a number from 0 to 1.
    """

    base_ms: float = 1000
    cap_ms: float = 30_000
    attempts: float = math.inf
    stable_ms: float = 5000
    random: Callable[[], float] = random.random

    def wait_ms(self, failures: int, floor_ms: float) -> float:
        """The wait in ms after `failures` earlier consecutive failures.

        The floor is added and not a minimum: a stopping server gives many clients similar floors, and with a minimum
        they would all reconnect at the same moment.
        """
        # The exponent is bounded, since a float has no room for 2 ** 1024.
        return floor_ms + self.random() * min(self.cap_ms, self.base_ms * 2.0 ** min(failures, 64))
