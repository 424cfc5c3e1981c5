"""Takes webhooks and checks them with the library of the Standard Webhooks specification: `python webhook-receiver.py`.

The first line on standard output is the port. Lines on standard input, `PATH SECRET`, say which secret signs what comes to a
path. Each request becomes a line of JSON. `/fail/N/...` answers 500 to the first N requests, `/gone/...` 410, `/moved/...` a
redirect, anything else 204.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook

SECRETS: dict[str, list[str]] = {}
COUNTS: dict[str, int] = {}
LOCK = threading.Lock()


def verified(path: str, body: bytes, headers: dict[str, str]) -> bool:
    def by(secret: str) -> bool:
        try:
            Webhook(secret).verify(body, headers)
        except Exception:
            return False
        return True

    secrets = SECRETS.get(path, [])
    return bool(secrets) and all(by(secret) for secret in secrets)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        with LOCK:
            COUNTS[self.path] = COUNTS.get(self.path, 0) + 1
            count = COUNTS[self.path]
            line = {
                "path": self.path,
                "verified": verified(self.path, body, headers),
                "id": headers.get("webhook-id"),
                "body": json.loads(body),
            }
            print(json.dumps(line), flush=True)
        parts = self.path.split("/")
        if parts[1] == "fail" and count <= int(parts[2]):
            self.send_response(500)
        elif parts[1] == "gone":
            self.send_response(410)
        elif parts[1] == "moved":
            self.send_response(302)
            self.send_header("location", "/ok")
        else:
            self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def listen() -> None:
    for line in sys.stdin:
        path, *secrets = line.split()
        with LOCK:
            SECRETS[path] = secrets
        print(json.dumps({"knows": path}), flush=True)


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
listen()
