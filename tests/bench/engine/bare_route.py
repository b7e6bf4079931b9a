"""A bare Flask route that stores a photo, on the same server as the API.

    python -m tests.bench.engine.bare_route --port N

It reads the same form and stores the same bytes in the same storage, and does nothing else.
"""

from __future__ import annotations

import argparse
import signal
import threading
from typing import BinaryIO, cast

from flask import Flask, request
from flask.typing import ResponseReturnValue

from api.__main__ import Server
from shared.job import new_id
from shared.settings import DEFAULT_TENANT, ApiSettings
from shared.storage import keys, open_storage


def make_app(settings: ApiSettings) -> Flask:
    """The app with its one route, `POST /store`."""
    app = Flask("bare")
    app.config["MAX_CONTENT_LENGTH"] = settings.max_bytes
    storage = open_storage(settings)

    @app.post("/store")
    def store() -> ResponseReturnValue:
        key = keys.input_key(DEFAULT_TENANT, new_id("inp"))
        photo = cast(BinaryIO, request.files["image"].stream)
        storage.put(key, photo, "application/octet-stream")
        return {"stored": key}, 202

    return app


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    settings = ApiSettings.load()
    leaving = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: leaving.set())
    Server(make_app(settings), settings, "127.0.0.1", port).serve_until(leaving)


if __name__ == "__main__":
    main()
