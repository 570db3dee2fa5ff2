"""What every source of prompts offers, and how a prompt gets its stable id."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from ahalab.records import Language, Prompt

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")


class PromptSource(Protocol):
    """A numbered collection of prompts."""

    @property
    def name(self) -> str:
        """Unique within a mixture, and the beginning of its prompts' ids."""
        ...

    @property
    def size(self) -> int | None:
        """Number of prompts; None for an endless (procedural) source."""
        ...

    def prompt(self, index: int) -> Prompt:
        """The prompt at `index` (0 ≤ index < size): a pure function of settings and index."""
        ...


@runtime_checkable
class DescribedSource(PromptSource, Protocol):
    """A source that has something to say about what it found."""

    @property
    def skipped(self) -> Mapping[str, int]:
        """Rows left out of the source, counted by reason: those of a kind that cannot be used, and bad ones where these
        may be skipped."""
        ...

    def describe(self) -> dict[str, Any]:
        """What the resolved recipe states: JSON-able, with everything that was recognised or derived."""
        ...


def content_hash(question: str, answer: str | None, domain: str) -> str:
    """16 hex digits of the content alone: the same problem has the same hash in every source (our choice)."""
    parts = [question, "" if answer is None else f"={answer}", domain]
    # A length before each part keeps ("ab", "c") and ("a", "bc") apart.
    framed = b"".join(len(raw).to_bytes(8, "big") + raw for raw in (part.encode() for part in parts))
    return hashlib.blake2b(framed, digest_size=8, person=b"aha.prompt").hexdigest()


def detect_language(question: str) -> Language:
    """ "zh" when the question holds any Han character, else "en"."""
    return "zh" if HAN.search(question) else "en"


def jsonable(value: object) -> Any:
    """`value` as JSON keeps it: tuples become lists, keys text, numpy scalars numbers, sets sorted lists.

    What JSON has no form for (a fraction, a date) becomes its text.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(one) for one in value]
    if isinstance(value, set | frozenset):
        return sorted((jsonable(one) for one in value), key=repr)
    if hasattr(value, "tolist"):
        return jsonable(value.tolist())
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    return str(value)
