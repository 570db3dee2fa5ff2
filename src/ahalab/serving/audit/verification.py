"""What verification found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class OpenExchange:
    """An intent without an end: under way, or left by a process that was killed."""

    number: int
    exchange: str
    at: str


@dataclass(slots=True)
class Verification:
    """What was found. `sound` is the answer; open exchanges are no error."""

    rows: int = 0
    last: int = 0
    """Number of the last row."""
    mac: str = ""
    kinds: Counter[str] = field(default_factory=Counter)
    first_bad: str = ""
    """The first bad row, and what is wrong; "" for none."""
    bad: int = 0
    heads: int = 0
    """Head files that fit."""
    texts: int = 0
    """Texts that are there."""
    erased: int = 0
    """Texts that an erasure row accounts for."""
    returned: int = 0
    """Texts that can be read though an erasure row says they are gone: an old copy was put back."""
    open_count: int = 0
    open_named: list[OpenExchange] = field(default_factory=list)
    """The oldest ones."""

    @property
    def sound(self) -> bool:
        """Whether nothing was changed, removed, added, moved or cut off."""
        return not self.first_bad

    def found(self, what: str) -> None:
        """Remember something that is wrong."""
        self.bad += 1
        self.first_bad = self.first_bad or what
