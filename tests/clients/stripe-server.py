"""A Stripe of somebody else's making on loopback: `python stripe-server.py`. It keeps nothing on disk.

The first line on standard output is the port; it ends when standard input does. As localstripe 1.15.10 is, it does not know
idempotency keys, does not search, lets more go back than was paid, and has no events of refunds and of cards that are kept.
"""

import os
import socket
import sys
import threading

from aiohttp import web
from localstripe.resources import Store
from localstripe.server import app


def end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


Store.dump_to_disk = lambda _: None
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
threading.Thread(target=end_with_input, daemon=True).start()
web.run_app(app, sock=listener, print=None, handle_signals=False)
