"""Who is in a room, with Flask and threads: the synchronous Tracker, no event loop in sight.

    pip install libpresence flask flask-sock
    LIBPRESENCE_LISTEN=127.0.0.1:7946 PORT=8000 python app.py
    LIBPRESENCE_JOIN=127.0.0.1:7946   PORT=8001 python app.py        # a second server: the same rooms

Under gunicorn (`--threads 100`) every worker is a member of its own; open the Tracker in the worker, so no `--preload`.
"""

import json
import os
import signal
import sys
import threading

from flask import Flask
from flask_sock import Sock
from simple_websocket import ConnectionClosed

from libpresence import PresenceError, Tracker

app = Flask(__name__)
app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": 20, "max_message_size": 65536}  # notices machines that went dark
sock = Sock(app)
users = Tracker(env=True)  # options from LIBPRESENCE_<OPTION>


@app.get("/rooms/<room>")
def who_is_there(room):
    return users.list(f"room:{room}")


@sock.route("/rooms/<room>/<name>")
def be_there(socket, room, name):
    """Says its status as JSON, gets presence_state and every presence_diff of the room."""
    topic = f"room:{room}"
    with users.owner() as owner, users.subscribe(topic) as events:  # all the owner tracks leaves however this ends
        owner.track(topic, name, {"status": "online"})
        telling = threading.Thread(target=tell, args=(socket, events), daemon=True)
        telling.start()
        try:
            while True:  # receiving is what notices a client that has vanished
                owner.update(topic, name, json.loads(socket.receive()))
        except ConnectionClosed:
            pass
        except (ValueError, TypeError, PresenceError) as error:  # no JSON, a binary frame, no JSON object
            socket.close(1008, f"not a status: {error}"[:100])


def tell(socket, events):
    try:
        for event in events:  # ends when `with` closes the subscription
            socket.send(f'{{"event":"{event.event}","payload":{event.text}}}')
    except (ConnectionClosed, OSError):
        pass  # gone while we were sending: the receiver knows as well


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with users:
        app.run(port=int(os.environ.get("PORT", 8000)), threaded=True)
else:
    users.start()
