"""The stream of an OpenAI-compatible server as an agent: `python openai_stream.py <url of the server> [<base url>]`.

Without a base URL it starts a fake server that streams as OpenAI's chat completions do, so that no key is needed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any
from urllib.parse import urlsplit
import asyncio
import json
import signal
import sys

from twinrail import AgentError, Worker, WorkerRun, agent

base_url = ""


async def completion(prompt: str) -> AsyncGenerator[str, None]:
    """The deltas of a chat completion. A real agent takes the package `openai`; this needs nothing but asyncio."""
    parts = urlsplit(base_url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        body = json.dumps({"model": "any", "stream": True, "messages": [{"role": "user", "content": prompt}]})
        head = f"POST {parts.path}/chat/completions HTTP/1.0\r\nhost: {parts.netloc}\r\n"
        writer.write(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        if b" 200 " not in await reader.readline():
            raise AgentError("upstream-refused", "The model refused the request", retryable=True)
        async for line in reader:
            if line.startswith(b"data: [DONE]"):
                return
            if line.startswith(b"data: "):
                delta = json.loads(line[6:])["choices"][0]["delta"]
                if delta.get("content"):
                    yield delta["content"]
        raise AgentError("upstream-lost", "The model's stream ended too early", retryable=True)
    finally:
        writer.close()  # a cancelled run closes the connection, which stops the model


@agent(
    "chat",
    description="Streams a model's answer",
    input={"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]},
)
async def chat(input: Mapping[str, Any], run: WorkerRun) -> AsyncGenerator[Mapping[str, Any], None]:
    yield {"type": "text.start", "data": {"partId": "answer"}}
    async for delta in completion(input["prompt"]):
        yield {"type": "text.delta", "data": {"partId": "answer", "delta": delta}}
    yield {"type": "text.end", "data": {"partId": "answer"}}


async def fake_model(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
    prompt = json.loads(await reader.readexactly(length))["messages"][-1]["content"]
    writer.write(b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
    for word in f"You said: {prompt}".split(" "):
        chunk = {"choices": [{"index": 0, "delta": {"content": f"{word} "}}]}
        writer.write(f"data: {json.dumps(chunk)}\n\n".encode())
        await writer.drain()
    writer.write(b"data: [DONE]\n\n")
    writer.close()


async def main() -> None:
    global base_url
    if len(sys.argv) > 2:
        base_url = sys.argv[2]
    else:
        fake = await asyncio.start_server(fake_model, "127.0.0.1", 0)
        base_url = f"http://127.0.0.1:{fake.sockets[0].getsockname()[1]}/v1"
    worker = Worker(sys.argv[1], [chat])
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.drain)
    await worker.run()


if __name__ == "__main__":
    asyncio.run(main())
