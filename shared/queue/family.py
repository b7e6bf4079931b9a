"""A family of Redis keys: how its names are built and recognized, and what it holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

PREFIX = "nukki:"


class Kind(StrEnum):
    """A Redis type, as the command TYPE names it; CHANNEL is pub/sub and never a key."""

    HASH = "hash"
    LIST = "list"
    SET = "set"
    STRING = "string"
    ZSET = "zset"
    CHANNEL = "channel"


#: What each placeholder in a pattern may be, as a regular expression.
_PLACEHOLDERS = {
    "JOB": r"job_\w+",
    "INPUT": r"inp_\w+",
    "DELIVERY": r"msg_\w+",
    "LANE": r"\w+",
    "NAME": r".+",
    "TENANT": r"[^/:]+",
    "KEY": r".+",
    "RECEIVER": r"[^/]+/.*",
    "SHARE": r"[^/]+(/silent)?",
}


@dataclass(frozen=True, slots=True)
class Family:
    """Keys that hold the same thing.

    Attributes:
        name: the first part of the key, as the scripts pass it to `key()`.
        of: what follows the name, as placeholders; empty for a single key.
        kind: the Redis type.
        holds: the fields of a hash; the members and scores of a set.
        written_by: scripts (without `.lua`) and Python classes that add to it.
        goes: when its entries, or the keys themselves, are removed.
        prefix: what each name begins with.
        separator: what stands between the name and what follows it.
    """

    name: str
    of: str
    kind: Kind
    holds: str
    written_by: str
    goes: str
    prefix: str = PREFIX
    separator: str = ":"

    def key(self, *parts: str) -> str:
        """The Redis key; `parts` stand for the placeholders of `of`.

        Raises:
            ValueError: there are more or fewer parts than placeholders.
        """
        if len(parts) != (len(self.of.split(":")) if self.of else 0):
            raise ValueError(f"{self.pattern} takes other parts than {parts}")
        return self.prefix + self.separator.join((self.name, *parts))

    @property
    def pattern(self) -> str:
        """Such as `nukki:job:JOB`."""
        return self.prefix + self.separator.join(filter(None, (self.name, self.of)))

    @property
    def glob(self) -> str:
        """All keys of the family, as the command KEYS takes it."""
        return self.prefix + self.name + (f"{self.separator}*" if self.of else "")

    def matches(self, key: str) -> bool:
        """Whether `key` is one of the family."""
        parts = [re.escape(self.name), *(_PLACEHOLDERS[of] for of in self.of.split(":") if of)]
        return bool(
            re.fullmatch(re.escape(self.prefix) + re.escape(self.separator).join(parts), key)
        )
