"""A bare Flask route that stores a photo, on the same server as the API.

    python -m tests.bench.engine.bare_route --port N --processes N

It reads the same form and stores the same bytes in the same storage, and does nothing else.
"""

from __future__ import annotations

import argparse
from typing import Any, BinaryIO, cast

from gevent import monkey


def make_app(settings: Any) -> Any:
    """The app with its one route, `POST /store`; and nothing to wake or close."""
    from flask import Flask, request
    from flask.typing import ResponseReturnValue

    from api.server.disk import in_threads
    from shared.job import new_id
    from shared.settings import DEFAULT_TENANT
    from shared.storage import keys, open_storage

    app = Flask("bare")
    app.config["MAX_CONTENT_LENGTH"] = settings.max_bytes
    storage = in_threads(open_storage(settings))

    @app.post("/store")
    def store() -> ResponseReturnValue:
        key = keys.input_key(DEFAULT_TENANT, new_id("inp"))
        photo = cast(BinaryIO, request.files["image"].stream)
        storage.put(key, photo, "application/octet-stream")
        return {"stored": key}, 202

    return app, lambda: None, lambda: None


def main() -> None:
    """Serve until SIGTERM."""
    monkey.patch_all()
    from api.server.command import listening
    from api.server.master import Master
    from shared.settings import ApiSettings

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    listener = listening("127.0.0.1", options.port)
    Master(listener, options.processes, ApiSettings.load(), make_app).serve()


if __name__ == "__main__":
    main()
