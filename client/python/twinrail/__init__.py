"""Twinrail's client for Python: follows agent runs with resume and backpressure, and sends commands."""

from .backoff import Backoff
from .client import Client
from .credentials import Auth, AuthResult, Token
from .errors import TwinrailError
from .events import CaughtUp, End, Event, Gap, Page, Reset, StreamItem
from .session import Ack, Run, Session
from .stream import EventStream

__all__ = [
    "Ack",
    "Auth",
    "AuthResult",
    "Backoff",
    "CaughtUp",
    "Client",
    "End",
    "Event",
    "EventStream",
    "Gap",
    "Page",
    "Reset",
    "Run",
    "Session",
    "StreamItem",
    "Token",
    "TwinrailError",
]
