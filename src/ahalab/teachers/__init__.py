"""Teachers rewrite and answer, judges give verdicts: by the world's rules, by an endpoint, or by the model itself.

Never imports torch.
"""

from ahalab.teachers.judge import Judge
from ahalab.teachers.make import RESERVED, make_judge, make_teacher
from ahalab.teachers.protocol import (
    PARTS,
    Failure,
    Generate,
    Outcome,
    Part,
    Refined,
    RefineItem,
    Teacher,
    ThinkingChoice,
)

__all__ = [
    "PARTS",
    "RESERVED",
    "Failure",
    "Generate",
    "Judge",
    "Outcome",
    "Part",
    "RefineItem",
    "Refined",
    "Teacher",
    "ThinkingChoice",
    "make_judge",
    "make_teacher",
]
