"""How a verifier says that it failed, as opposed to an answer that is wrong."""

from __future__ import annotations


class GraderFailure(Exception):
    """The grading itself failed; the text starts with a stable kind and a colon ("gold unreadable: …").

    Becomes `Verdict(score=None, error=…)`: counted, never a 0.
    """
