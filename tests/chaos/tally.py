"""The results of a run, as a table and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field

from tests.chaos.plan import CLAIMED_WITHIN, LEASE


@dataclass
class Tally:
    """The results of a run. Times are in seconds."""

    seed: int
    seconds: float = 0.0
    submitted: int = 0
    accepted: int = 0
    repeated: int = 0
    by_url: int = 0
    succeeded: int = 0
    canceled: int = 0
    deleted: int = 0
    poisoned: int = 0
    webhooks: int = 0
    webhooks_repeated: int = 0
    restarts: int = 0
    claims_after_kill: int = 0
    claim_p50: float = 0.0
    claim_p95: float = 0.0
    claim_max: float = 0.0
    claims_in_outage: int = 0
    claim_max_in_outage: float = 0.0
    unclaimed: int = 0
    redis_restarts: int = 0
    redis_gap_max: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    no_occasion: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    wrongs: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def fault_count(self) -> int:
        return sum(self.faults.values())

    def wrong(self, kind: str) -> int:
        """How often this kind of error happened."""
        return len(self.wrongs.get(kind, ()))

    def missed(self, *, jobs: int, faults: int, kinds: int, claims: int) -> list[str]:
        """The checks that failed.

        Args:
            jobs: least number of jobs accepted.
            faults: least number of faults injected.
            kinds: least number of kinds of fault.
            claims: least number of claims measured after kills.
        """
        checks = {f"{name}: {len(what)}": not what for name, what in self.wrongs.items()} | {
            f"{self.accepted} jobs of {jobs}": self.accepted >= jobs,
            f"{self.fault_count} faults of {faults}": self.fault_count >= faults,
            f"{len(self.faults)} kinds of {kinds}": len(self.faults) >= kinds,
            f"{self.claims_after_kill} claims of {claims} after kills": (
                self.claims_after_kill >= claims
            ),
            f"claim p95 {self.claim_p95:.1f} s": self.claim_p95 <= CLAIMED_WITHIN,
            f"{self.unclaimed} not claimed again": not self.unclaimed,
            f"gap after a Redis restart {self.redis_gap_max:.1f} s": self.redis_gap_max <= 10,
        }
        return [name for name, kept in checks.items() if not kept]

    def as_json(self) -> dict[str, object]:
        """All results, by field name."""
        return asdict(self)

    def table(self) -> str:
        """All results as text, one per line."""
        claimed = f"p50 {self.claim_p50:.1f} s, p95 {self.claim_p95:.1f} s"
        claimed += f", max {self.claim_max:.1f} s; the lease is {LEASE:g} s"
        rows: list[tuple[str, object]] = [
            ("seed", self.seed),
            ("seconds", f"{self.seconds:.0f}"),
            ("jobs accepted", self.accepted),
            ("submits repeated", self.repeated),
            ("photos by URL", self.by_url),
            ("succeeded", self.succeeded),
            ("canceled, deleted while running", f"{self.canceled}, {self.deleted}"),
            ("poisoned as expected", self.poisoned),
            ("lost", self.wrong("lost")),
            ("finished twice", self.wrong("finished twice")),
            ("corrupt", self.wrong("corrupt")),
            ("orphans in storage", self.wrong("orphan in storage")),
            ("keys left behind", self.wrong("key left behind")),
            ("webhooks", f"{self.webhooks}, {self.webhooks_repeated} of them repeated"),
            ("services restarted", self.restarts),
            (f"claimed after a kill ({self.claims_after_kill})", claimed),
            (
                f"claimed in an outage ({self.claims_in_outage})",
                f"max {self.claim_max_in_outage:.1f} s; Redis or storage was down",
            ),
            (
                f"gap after Redis restarts ({self.redis_restarts})",
                f"max {self.redis_gap_max:.1f} s",
            ),
            ("faults", f"{self.fault_count} of {len(self.faults)} kinds"),
        ]
        rows += [(f"  {kind}", count) for kind, count in sorted(self.faults.items())]
        rows += [(f"  {kind}: no occasion", count) for kind, count in self.no_occasion.items()]
        rows += [(f"not accepted: {kind}", n) for kind, n in Counter(self.refused).most_common()]
        rows += [(f"WRONG {kind}", len(what)) for kind, what in self.wrongs.items()]
        return "\n".join(f"{name:<44}{value}" for name, value in rows)
