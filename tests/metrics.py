"""Reads Prometheus' text format with prometheus_client's own parser."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families


class Scrape:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """The sample with exactly these labels; None if there is none."""
        return self._samples.get((name, frozenset(labels.items())))

    def since(self, before: Scrape, name: str, **labels: str) -> float:
        """How much a counter grew since `before`; a missing sample counts as 0."""
        return (self.value(name, **labels) or 0.0) - (before.value(name, **labels) or 0.0)

    def labels(self, name: str) -> Iterator[dict[str, str]]:
        """The labels of each sample with this name."""
        return (dict(labels) for found, labels in self._samples if found == name)
