"""The embeddings kept for a second click, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict

from shared.metrics.worker import EMBEDDING_HITS, EMBEDDING_MISSES
from worker.segmenters.protocol import Embedding


class EmbeddingCache:
    """Least recently used first out. Keys are digests of photos: one engine has one model.

    Of the device's thread alone, so it needs no lock; others may only ask whether a key is `in` it.
    """

    def __init__(self, limit: int) -> None:
        """Keep at most `limit` bytes; 0 keeps nothing."""
        self._limit = limit
        self._kept: OrderedDict[str, Embedding] = OrderedDict()
        self.nbytes = 0
        self.hits = 0
        self.misses = 0

    def get(self, digest: str) -> Embedding | None:
        """The photo's embedding, now the most recently used."""
        embedding = self._kept.get(digest)
        if embedding is None:
            self.misses += 1
            EMBEDDING_MISSES.inc()
            return None
        self.hits += 1
        EMBEDDING_HITS.inc()
        self._kept.move_to_end(digest)
        return embedding

    def put(self, digest: str, embedding: Embedding) -> None:
        """Keep it, unless it alone is over the limit."""
        self.drop(digest)
        if embedding.nbytes > self._limit:
            return
        self._kept[digest] = embedding
        self.nbytes += embedding.nbytes
        while self.nbytes > self._limit:
            self.drop(next(iter(self._kept)))

    def drop(self, digest: str) -> None:
        """Forget it, where it is kept."""
        embedding = self._kept.pop(digest, None)
        if embedding is not None:
            self.nbytes -= embedding.nbytes

    def __contains__(self, digest: str) -> bool:
        return digest in self._kept

    def __len__(self) -> int:
        return len(self._kept)
