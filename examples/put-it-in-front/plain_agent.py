"""An agent as an endpoint that streams, without a package: `python3 plain_agent.py 8000`. Its answer dies with its connection."""
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DOCS = [{"title": "Tides", "link": "https://example.com/tides", "content": "The moon pulls at the sea."}]
ANSWER = " ".join(f"The moon pulls at the sea, {n} times a day." for n in range(1, 9))


class Agent(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        print("asked:", body["query"], flush=True)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        try:
            self.event(body, status="searching", message="Searching …")
            for word in ANSWER.split():
                found = {"query": [body["query"]], "docs": [DOCS]}
                self.event(body, messageType="search", searchResult=found, answer=word + " ", isFinal=False)
                time.sleep(0.05)
            self.event(body, messageType="search", answer=ANSWER + " ", isFinal=True)
        except OSError:
            print("stopped", flush=True)

    def event(self, body, **fields):
        data = json.dumps({"requestId": body["request_id"], **fields})
        self.wfile.write(f"event: data\nid: {body['request_id']}\ndata: {data}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Agent).serve_forever()
