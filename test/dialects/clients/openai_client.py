"""The unmodified client of OpenAI for Python, as many as are asked for, each in a process of its own.

It prints the port that it listens on. Each connection is one client, forked from this process: to import the package
takes two seconds of CPU. The first line is {api, url, agent, id, saved} as JSON, each further line an order
[number, what, value]. The answer is what it shows and keeps, as JSON lines, while a response comes and after each order.
"""
import json
import os
import select
import signal
import socket
import sys
import threading

from openai import APIError, OpenAI


def accept():
    """Returns in each forked process, with its connection. The listening one ends with its input."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                return connection
            connection.close()
    sys.exit()


lines = accept().makefile("rw", encoding="utf-8")
place = json.loads(lines.readline())
client = OpenAI(base_url=place["url"], api_key="none", max_retries=0)
printing = threading.Lock()


class Tab:
    """What the user sees: the text, how it ended, the error, and the results of tools."""

    def __init__(self):
        self.shown = {"text": "", "error": None, "tools": {}}
        self.saved = None

    def tell(self, done=None):
        said = {"shown": self.shown, "saved": self.saved}
        if done is not None:
            said["done"] = done
        with printing:
            print(json.dumps(said), file=lines, flush=True)

    def begin(self, text=""):
        self.shown.pop("verdict", None)
        self.shown.update(text=text, error=None)

    def obey(self, number, what, value):
        try:
            getattr(self, what)(value)
        except Exception as error:
            self.shown["error"] = repr(error)
        self.tell(number)


class Responses(Tab):
    """Keeps the response's id, its last sequence number, and its text."""

    def __init__(self, saved):
        super().__init__()
        self.saved = saved or {"id": "", "last": -1, "text": ""}
        self.shown["text"] = self.saved["text"]
        self.output = []

    def read(self, events):
        for event in events:
            if event.sequence_number <= self.saved["last"]:
                raise RuntimeError(f"{event.sequence_number} came twice")
            self.saved["last"] = event.sequence_number
            if event.type == "response.created":
                self.saved["id"] = event.response.id
            elif event.type == "response.output_text.delta":
                self.saved["text"] += event.delta
                self.shown["text"] = self.saved["text"]
            elif event.type == "response.output_item.done" and event.item.type == "mcp_call":
                self.shown["tools"][event.item.name] = json.loads(event.item.output or "null")
            elif event.type == "response.completed":
                self.output = event.response.output
                asks = any(item.type in ("mcp_approval_request", "function_call") for item in self.output)
                self.shown["verdict"] = "asks" if asks else "completed"
            elif event.type == "response.failed":
                self.shown["verdict"] = "failed"
                self.shown["error"] = event.response.error.message
            elif event.type == "response.incomplete" and event.response.status == "cancelled":
                self.shown["verdict"] = "cancelled"
            self.tell()

    def stream(self, text="", **body):
        self.saved.update(last=-1, text=text)
        self.begin(text)
        self.read(client.responses.create(model=place["agent"], stream=True, **body))

    def answer(self, item):
        # The answer to a question is a response of its own.
        self.stream(self.saved["text"], previous_response_id=self.saved["id"], input=[item])

    def send(self, text):
        self.stream(conversation=place["id"], input=text)

    def resume(self, _):
        last = self.saved["last"]
        after = {} if last < 0 else {"starting_after": last}
        self.read(client.responses.retrieve(self.saved["id"], stream=True, **after))

    def approve(self, _):
        request = next(item for item in self.output if item.type == "mcp_approval_request")
        self.answer({"type": "mcp_approval_response", "approval_request_id": request.id, "approve": True})

    def give_result(self, value):
        call = next(item for item in self.output if item.type == "function_call")
        self.answer({"type": "function_call_output", "call_id": call.call_id, "output": json.dumps(value)})

    def cancel(self, _):
        client.responses.cancel(self.saved["id"])


class Completions(Tab):
    """Keeps the messages. A repeated request attaches by its key."""

    def __init__(self, saved):
        super().__init__()
        self.saved = saved or {"messages": []}
        self.call = None

    def run(self, before=""):
        messages = self.saved["messages"]
        self.begin(before)
        try:
            stream = client.chat.completions.create(
                model=place["agent"],
                messages=messages,
                stream=True,
                metadata={"conversation": place["id"]},
                extra_headers={"idempotency-key": f"{place['id']}-{len(messages)}"},
            )
            for chunk in stream:
                for choice in chunk.choices:
                    self.shown["text"] += choice.delta.content or ""
                    for call in choice.delta.tool_calls or []:
                        self.call = call.model_dump(exclude={"index"})
                    if choice.finish_reason:
                        asks = choice.finish_reason == "tool_calls"
                        self.shown["verdict"] = "asks" if asks else "completed"
                self.tell()
        except APIError as error:
            verdicts = {None: None, "run-cancelled": "cancelled"}
            verdict = verdicts.get(error.code, "failed")
            if verdict:
                self.shown["verdict"] = verdict
            raise
        if self.shown.get("verdict") == "completed":
            messages.append({"role": "assistant", "content": self.shown["text"]})

    def send(self, text):
        self.saved["messages"].append({"role": "user", "content": text})
        self.run()

    def resume(self, _):
        self.run()

    def give_result(self, value):
        said = self.shown["text"]
        self.saved["messages"] += [
            {"role": "assistant", "content": said or None, "tool_calls": [self.call]},
            {"role": "tool", "tool_call_id": self.call["id"], "content": json.dumps(value)},
        ]
        self.run(said)


tab = {"responses": Responses, "completions": Completions}[place["api"]](place.get("saved"))

for line in lines:
    # A run may be cancelled while its response comes.
    threading.Thread(target=tab.obey, args=json.loads(line), daemon=True).start()
# At once, as when it is killed.
os._exit(0)
