"""The bundled contest set: programming problems of this project, each with what proves a verifier right.

Statements in English and Chinese, hidden tests, solutions known to be good and to be bad, and input generators;
beside them small modules with a bug. `build` makes the two JSONL files from the YAML under `problems/` and `bugs/`.
"""

from __future__ import annotations

from ahalab.world.contest.records import (
    BugProblem,
    ContestProblem,
    Solution,
    Verdict,
    load_bugs,
    load_contest,
)

__all__ = ["BugProblem", "ContestProblem", "Solution", "Verdict", "load_bugs", "load_contest"]
