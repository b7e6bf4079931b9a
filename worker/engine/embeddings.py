"""The embeddings kept for a second click, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict

from shared.metrics.worker import EMBEDDING_HITS, EMBEDDING_MISSES
from worker.segmenters.protocol import Embedding


class EmbeddingCache:
    """A least-recently-used cache, keyed by the photo's digest alone: one engine has one model.

    Only the device's thread may use it, so it has no lock; other threads may only test whether a
    key is `in` it.
    """

    def __init__(self, limit: int) -> None:
        """Hold at most `limit` bytes; 0 caches nothing."""
        self._limit = limit
        self._kept: OrderedDict[str, Embedding] = OrderedDict()
        self.nbytes = 0

    def get(self, digest: str) -> Embedding | None:
        """The photo's embedding, marked as most recently used; None if it is not cached."""
        embedding = self._kept.get(digest)
        if embedding is None:
            EMBEDDING_MISSES.inc()
            return None
        EMBEDDING_HITS.inc()
        self._kept.move_to_end(digest)
        return embedding

    def put(self, digest: str, embedding: Embedding) -> None:
        """Cache an embedding, unless it alone exceeds the limit."""
        self.drop(digest)
        if embedding.nbytes > self._limit:
            return
        self._kept[digest] = embedding
        self.nbytes += embedding.nbytes
        while self.nbytes > self._limit:
            self.drop(next(iter(self._kept)))

    def drop(self, digest: str) -> None:
        """Remove an embedding, if it is cached."""
        embedding = self._kept.pop(digest, None)
        if embedding is not None:
            self.nbytes -= embedding.nbytes

    def __contains__(self, digest: str) -> bool:
        return digest in self._kept

    def __len__(self) -> int:
        return len(self._kept)
