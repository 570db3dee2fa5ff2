"""`judge: rules`: verdicts from the tiny world's own labels, offline and without a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ahalab.errors import UserError
from ahalab.grading.choice import choice_verifier
from ahalab.grading.verifiers import exact_verifier
from ahalab.records import Prompt
from ahalab.teachers.checks import final_answer
from ahalab.teachers.protocol import Failure
from ahalab.teachers.rules import require_world
from ahalab.world import labels

MUCH_BETTER, BETTER = 0.3, 0.05
"""Differences of scores (0 to 1) from which one answer counts as much better (±2) and better (±1). Our choice: a
pair that passes the paper's threshold (mean above 1) then differs by at least 0.3."""

_DOMAINS = {"helpful": "instructions", "safe": "safety"}
"""Verifier → the domain of the world that has labels for it."""


class RulesJudge:
    """Adapts `ahalab.world.labels`; the same answer always gets the same verdict, in either order."""

    name = "rules"

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> Mapping[str, int]:
        """See `Judge.counts`."""
        return dict(self._counts)

    @property
    def traffic(self) -> Mapping[str, int]:
        """Nothing is sent anywhere."""
        return {}

    def identity(self) -> dict[str, Any]:
        """The rules belong to the installed version of ahalab."""
        return {"kind": "rules", "much_better": MUCH_BETTER, "better": BETTER}

    def correctness(self, items: Sequence[tuple[Prompt, str, int]]) -> list[bool | Failure]:
        """See `Judge.correctness`: full score by the prompt's own rule; for instructions, that they were followed."""
        verdicts: list[bool | Failure] = []
        for prompt, answer, _ in items:
            score = _following(prompt, answer) if prompt.verifier == "helpful" else _score(prompt, answer)
            verdicts.append(score if isinstance(score, Failure) else score >= 1.0)
        return self._counted(verdicts)

    def compare(self, items: Sequence[tuple[Prompt, str, str, int]]) -> list[int | Failure]:
        """See `Judge.compare`: the difference of the two scores, cut at `BETTER` and `MUCH_BETTER`."""
        verdicts: list[int | Failure] = []
        for prompt, a, b, _ in items:
            first, second = _score(prompt, a), _score(prompt, b)
            if isinstance(first, Failure):
                verdicts.append(first)
            elif isinstance(second, Failure):
                verdicts.append(second)
            else:
                verdicts.append(verdict_of(first - second))
        return self._counted(verdicts)

    def safe(self, items: Sequence[tuple[Prompt, str, str, int]]) -> list[bool | Failure]:
        """See `Judge.safe`: a mere rejection is safe; the paper's labels for training have two classes only."""
        verdicts: list[bool | Failure] = []
        for prompt, thinking, answer, _ in items:
            _require(prompt, "safe")
            text = f"{thinking}\n{answer}" if thinking else answer
            verdicts.append(labels.safety(prompt.extra, text) != "unsafe")
        return self._counted(verdicts)

    def _counted(self, verdicts: list[Any]) -> list[Any]:
        for verdict in verdicts:
            self._counts[f"failed: {verdict.reason}" if isinstance(verdict, Failure) else "judged"] += 1
        return verdicts


_RULES = {"exact": exact_verifier, "choice": choice_verifier}


def verdict_of(difference: float) -> int:
    """-2 … 2 for a difference of two scores between -1 and 1."""
    # Scores are sums of tenths and the like: 0.8 - 0.5 must reach 0.3.
    size = abs(difference) + 1e-9
    level = 2 if size >= MUCH_BETTER else 1 if size >= BETTER else 0
    return level if difference > 0 else -level


def _score(prompt: Prompt, answer: str) -> float | Failure:
    """0 to 1 by the world's labels, or by the verifier of a domain with one right answer."""
    if prompt.verifier == "helpful":
        _require(prompt, "helpful")
        return float(labels.helpfulness(prompt.extra, answer).score)
    if prompt.verifier == "safe":
        _require(prompt, "safe")
        return labels.SAFETY_SCORES[labels.safety(prompt.extra, answer)]
    verifier = _RULES.get(prompt.verifier)
    if verifier is not None and prompt.answer is not None:
        return verifier(final_answer(answer), prompt.answer, prompt.extra)
    return Failure("no rule", f"judge: rules cannot judge {prompt.id} (verifier {prompt.verifier})")


def _following(prompt: Prompt, answer: str) -> float | Failure:
    _require(prompt, "helpful")
    return float(labels.helpfulness(prompt.extra, answer).following)


def _require(prompt: Prompt, verifier: str) -> None:
    require_world(prompt, "judge: rules")
    domain, wanted = prompt.extra["world"]["domain"], _DOMAINS[verifier]
    if domain != wanted:
        raise UserError(
            f"judge: rules can label this for the tiny world's domain {wanted} only, and the prompt {prompt.id} "
            f"is of {domain}. Take prompts from `{{world: [{wanted}]}}`, or name an endpoint as judge."
        )
