"""Twinrail's client for Python: follows agent runs, sends commands, and executes agents as a worker."""

from .agents import Agent, AgentError, Body, ChatFields, agent
from .backoff import Backoff
from .client import Client
from .credentials import Auth, AuthResult, Token
from .errors import TwinrailError
from .events import CaughtUp, End, Event, Gap, Page, Reset, StreamItem
from .session import Ack, Run, Session
from .stream import EventStream
from .worker import Worker
from .worker_run import Answer, Steering, WorkerRun

__all__ = [
    "Ack",
    "Agent",
    "AgentError",
    "Answer",
    "Auth",
    "AuthResult",
    "Backoff",
    "Body",
    "CaughtUp",
    "ChatFields",
    "Client",
    "End",
    "Event",
    "EventStream",
    "Gap",
    "Page",
    "Reset",
    "Run",
    "Session",
    "Steering",
    "StreamItem",
    "Token",
    "TwinrailError",
    "Worker",
    "WorkerRun",
    "agent",
]
