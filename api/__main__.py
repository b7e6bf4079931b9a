"""The API process: `python -m api` serves HTTP until SIGTERM."""

from __future__ import annotations

from gevent import monkey


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM, then finish the running requests; returns the exit status."""
    # Before anything else is imported: what has been imported keeps its blocking calls.
    monkey.patch_all()
    from api.server.command import main as serve

    return serve(argv)


if __name__ == "__main__":
    raise SystemExit(main())
