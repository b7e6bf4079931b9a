"""The API's fixtures, for attacks on the app."""

from __future__ import annotations

from tests.api.conftest import client, doorbell, jobs, keyed, make_client, storage

__all__ = ["client", "doorbell", "jobs", "keyed", "make_client", "storage"]
