"""An agent as an endpoint that streams: `uvicorn fastapi_agent:app --port 8000`. Its answer dies with its connection."""
import asyncio
import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

app = FastAPI()

DOCS = [{"title": "Tides", "link": "https://example.com/tides", "content": "The moon pulls at the sea."}]
ANSWER = " ".join(f"The moon pulls at the sea, {n} times a day." for n in range(1, 9))


class Query(BaseModel):
    request_id: str
    query: str


@app.post("/v1/tool/deepsearch")
async def deepsearch(body: Query):
    def event(**fields):
        data = json.dumps({"requestId": body.request_id, **fields})
        return f"event: data\nid: {body.request_id}\ndata: {data}\n\n"

    async def stream():
        print("asked:", body.query, flush=True)
        try:
            yield event(status="searching", message="Searching …")
            for word in ANSWER.split():
                found = {"query": [body.query], "docs": [DOCS]}
                yield event(messageType="search", searchResult=found, answer=word + " ", isFinal=False)
                await asyncio.sleep(0.05)
            yield event(messageType="search", answer=ANSWER + " ", isFinal=True)
        except asyncio.CancelledError:
            print("stopped", flush=True)
            raise

    return StreamingResponse(stream(), media_type="text/event-stream")
