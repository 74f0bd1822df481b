"""Follows a run with an unmodified client for Python, and prints the JSON of its events, one per line.

Usage: follow.py httpx-sse <url of the event stream>
       follow.py websockets <url of the WebSocket> <session> <run>
"""
import asyncio
import json
import sys


def is_last(event):
    return event["type"] == "run.completed"


def httpx_sse(url):
    import httpx
    from httpx_sse import connect_sse

    last_id = ""
    with httpx.Client(timeout=None) as client:
        while True:
            try:
                headers = {"Last-Event-ID": last_id} if last_id else {}
                with connect_sse(client, "GET", url, headers=headers) as source:
                    for sse in source.iter_sse():
                        last_id = sse.id or last_id
                        if sse.event != "message":
                            continue
                        print(sse.data)
                        if is_last(json.loads(sse.data)):
                            return
            except httpx.TransportError:
                pass


async def websockets(url, session, run):
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    after = None
    async for socket in connect(url, subprotocols=["twinrail.v1"], max_size=2**21):
        try:
            subscribe = {"id": "1", "type": "subscribe", "sessionId": session, "run": run, "replay": "full"}
            await socket.send(json.dumps({**subscribe, **({"after": after} if after else {})}))
            async for message in socket:
                for text in message.split("\n"):
                    event = json.loads(text)
                    if "offset" not in event or "." not in event["type"]:
                        continue
                    print(text)
                    after = event["offset"]
                    if is_last(event):
                        return
        except ConnectionClosed:
            pass


if sys.argv[1] == "httpx-sse":
    httpx_sse(sys.argv[2])
else:
    asyncio.run(websockets(*sys.argv[2:]))
