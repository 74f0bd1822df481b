"""The unmodified client of OpenAI for Python. Its only argument: {url, agent, id, saved} as JSON.

Each line of its input is an order [number, what, value]. It prints what it shows and keeps, as JSON lines, while a
response comes and after each order.
"""
import json
import sys
import threading

from openai import OpenAI

place = json.loads(sys.argv[1])
client = OpenAI(base_url=place["url"], api_key="none", max_retries=0)
saved = place.get("saved") or {"id": "", "last": -1, "text": ""}
shown = {"text": saved["text"], "verdict": None, "error": None, "tools": {}}
output = []
printing = threading.Lock()


def tell(done=None):
    said = {"shown": {**shown, "verdict": shown["verdict"] or None}, "saved": saved}
    if shown["verdict"] is None:
        del said["shown"]["verdict"]
    if done is not None:
        said["done"] = done
    with printing:
        print(json.dumps(said), flush=True)


def read(events):
    global output
    for event in events:
        if event.sequence_number <= saved["last"]:
            raise RuntimeError(f"{event.sequence_number} came twice")
        saved["last"] = event.sequence_number
        if event.type == "response.created":
            saved["id"] = event.response.id
        elif event.type == "response.output_text.delta":
            saved["text"] += event.delta
            shown["text"] = saved["text"]
        elif event.type == "response.output_item.done" and event.item.type == "mcp_call":
            shown["tools"][event.item.name] = json.loads(event.item.output or "null")
        elif event.type == "response.completed":
            output = event.response.output
            asks = any(item.type in ("mcp_approval_request", "function_call") for item in output)
            shown["verdict"] = "asks" if asks else "completed"
        elif event.type == "response.failed":
            shown["verdict"] = "failed"
            shown["error"] = event.response.error.message
        elif event.type == "response.incomplete" and event.response.status == "cancelled":
            shown["verdict"] = "cancelled"
        tell()


def stream(text="", **body):
    saved.update(last=-1, text=text)
    shown.update(verdict=None, text=text)
    read(client.responses.create(model=place["agent"], stream=True, **body))


def answer(item):
    # The answer to a question is a response of its own.
    stream(saved["text"], previous_response_id=saved["id"], input=[item])


def send(text):
    stream(conversation=place["id"], input=text)


def resume(_):
    if saved["last"] < 0:
        read(client.responses.retrieve(saved["id"], stream=True))
    else:
        read(client.responses.retrieve(saved["id"], stream=True, starting_after=saved["last"]))


def approve(_):
    request = next(item for item in output if item.type == "mcp_approval_request")
    answer({"type": "mcp_approval_response", "approval_request_id": request.id, "approve": True})


def give_result(value):
    call = next(item for item in output if item.type == "function_call")
    answer({"type": "function_call_output", "call_id": call.call_id, "output": json.dumps(value)})


def cancel(_):
    client.responses.cancel(saved["id"])


orders = {f.__name__: f for f in (send, resume, approve, give_result, cancel)}


def obey(number, what, value):
    try:
        orders[what](value)
    except Exception as error:
        shown["error"] = repr(error)
    tell(number)


for line in sys.stdin:
    # A run may be cancelled while its response comes.
    threading.Thread(target=obey, args=json.loads(line), daemon=True).start()
