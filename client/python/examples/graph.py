"""A graph of steps as LangGraph has them, written by hand, as an agent: `python graph.py <url of the server>`.

Each node is a step of the run, takes the state and returns what changes in it. One node asks the user.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any
import asyncio
import signal
import sys

from twinrail import Worker, WorkerRun, agent

State = dict[str, Any]


async def plan(state: State, run: WorkerRun) -> State:
    return {"sections": [f"{state['topic']}: {part}" for part in ("what it is", "what it is for")]}


async def approve(state: State, run: WorkerRun) -> State:
    question = f"Write {len(state['sections'])} sections?"
    answer = await run.ask(question, kind="approval", schema={"type": "boolean"})
    return {"approved": answer.value}


async def write(state: State, run: WorkerRun) -> State:
    return {"text": "\n".join(f"{section}." for section in state["sections"])}


async def decline(state: State, run: WorkerRun) -> State:
    return {"text": "Nothing was written."}


NODES = {"plan": plan, "approve": approve, "write": write, "decline": decline}


def next_node(node: str, state: State) -> str | None:
    if node == "approve":
        return "write" if state["approved"] else "decline"
    return {"plan": "approve"}.get(node)


@agent(
    "report",
    description="Plans a report, asks, then writes it",
    input={"type": "object", "properties": {"topic": {"type": "string"}}, "required": ["topic"]},
)
async def report(input: Mapping[str, Any], run: WorkerRun) -> AsyncGenerator[Mapping[str, Any], None]:
    state: State = {"topic": input["topic"]}
    node: str | None = "plan"
    while node:
        yield {"type": "step.started", "data": {"stepId": node, "name": node}}
        state |= await NODES[node](state, run)
        yield {"type": "step.finished", "data": {"stepId": node, "name": node}}
        node = next_node(node, state)
    yield {"type": "text.start", "data": {"partId": "answer"}}
    for word in state["text"].split(" "):
        yield {"type": "text.delta", "data": {"partId": "answer", "delta": f"{word} "}}
    yield {"type": "text.end", "data": {"partId": "answer"}}
    run.result = {"sections": len(state["sections"])}


async def main() -> None:
    worker = Worker(sys.argv[1], [report])
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.drain)
    await worker.run()


if __name__ == "__main__":
    asyncio.run(main())
