"""From candidates to rows: filters, choice, refining, re-check. A pure function of a shard's candidates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ahalab.counter import make_key, permutation
from ahalab.grading.pool import GraderPool
from ahalab.records import GradeRequest, SupervisedRow
from ahalab.stages.duplicates import Duplicates
from ahalab.stages.filters import (
    GRADER_FAILED,
    JUDGE_FAILED,
    OF_TEXT,
    REASONS,
    UNCHECKED,
    Candidate,
    Drop,
    FilterName,
    Thresholds,
    first_failing,
)
from ahalab.stages.record_decoder import as_values, supervised_row
from ahalab.stages.sample_config import SampleConfig
from ahalab.teachers import Failure, Judge, RefineItem, Teacher
from ahalab.text.template import rounds

NOT_CHOSEN = "more than keep_per_prompt"
AFTER_REFINING = "after refining: "


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one candidate: a row, or a drop."""

    id: str
    prompt_id: str
    sample: int
    row: SupervisedRow | None
    drop: Drop | None

    @classmethod
    def dropped(cls, candidate: Candidate, drop: Drop) -> Outcome:
        """The candidate is no training data."""
        return cls(candidate.id, candidate.prompt.id, candidate.index, None, drop)

    def line(self) -> dict[str, Any]:
        """The line of a shard file."""
        line = asdict(self)
        return line if self.row is None else {**line, "row": as_values(self.row)}

    @classmethod
    def read(cls, line: dict[str, Any]) -> Outcome:
        """What `line` wrote."""
        row, drop = line["row"], line["drop"]
        parts = {**line, "row": row and supervised_row(row), "drop": drop and Drop(**drop)}
        return cls(**parts)


class Selector:
    """Decides over candidates. `key` names the random numbers; `source` is what rows say of their origin."""

    def __init__(
        self,
        config: SampleConfig,
        pool: GraderPool,
        judge: Judge | None,
        refiner: Teacher | None,
        key: int,
        source: str,
    ) -> None:
        self._config, self._pool, self._judge, self._refiner = config, pool, judge, refiner
        self._key, self._source = key, source
        self._before = _before_refining(config)

    def decide(self, candidates: Sequence[Candidate]) -> list[Outcome]:
        """One outcome a candidate, in their order. Candidates of one prompt must all be given together."""
        config = self._config
        drops: dict[str, Drop] = {}
        judged = self._judged(candidates, config.keep, self._before)
        for candidate in judged:
            drop = first_failing(candidate, config.keep, self._before)
            if drop is not None:
                drops[candidate.id] = drop
        good = [candidate for candidate in judged if candidate.id not in drops]
        chosen = self._choose(good, drops)
        finished = {one.id: one for one in (self._refine(chosen, drops) if self._refiner else chosen)}
        return [
            Outcome.dropped(candidate, drops[candidate.id])
            if candidate.id in drops
            else self.kept(finished[candidate.id])
            for candidate in judged
        ]

    def kept(self, candidate: Candidate) -> Outcome:
        """The candidate as a row."""
        prompt = candidate.prompt
        row = SupervisedRow(
            id=candidate.id,
            question=prompt.question,
            thinking=candidate.thinking.strip(),
            answer=candidate.answer.strip(),
            domain=prompt.domain,
            language=prompt.language,
            source=self._source,
            rounds=rounds(prompt.messages),
            prompt_id=prompt.id,
            messages=prompt.messages,
        )
        return Outcome(candidate.id, prompt.id, candidate.index, row, None)

    def recheck(self, candidates: Sequence[Candidate], after: str) -> list[Drop | None]:
        """Whether rewritten candidates still pass every filter of `keep` that looks at a text; language and
        readability are looked at in any case, and the lines are those of `thresholds`."""
        thresholds = self._config.thresholds
        keep: list[FilterName] = [name for name in self._config.keep if name in OF_TEXT]
        keep += [name for name in ("one_language", "readable") if name not in keep]
        scored = candidates
        if "correct" in keep:
            scored = self._judged(self.graded(candidates), keep, thresholds)
        return [first_failing(one, keep, thresholds, after=after) for one in scored]

    def graded(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The candidates with the scores of their prompts' rules."""
        requests = [
            GradeRequest(one.prompt.verifier, one.answer, one.prompt.answer, dict(one.prompt.extra))
            for one in candidates
        ]
        return [
            with_score(candidate, verdict.score, verdict.error)
            for candidate, verdict in zip(candidates, self._pool.grade_all(requests), strict=True)
        ]

    def _judged(
        self, candidates: Sequence[Candidate], keep: Sequence[FilterName], thresholds: Thresholds
    ) -> list[Candidate]:
        """The candidates, those that no rule could score with the judge's verdict. What an earlier filter of `keep`
        drops anyway is not shown to the judge: verdicts cost."""
        if self._judge is None or "correct" not in keep:
            return list(candidates)
        before = keep[: keep.index("correct")]
        asked = [
            place
            for place, one in enumerate(candidates)
            if one.score is None
            and one.unscored == UNCHECKED
            and first_failing(one, before, thresholds) is None
        ]
        verdicts = self._judge.correctness(
            [
                (candidates[place].prompt, candidates[place].answer, self._of("judge", candidates[place]))
                for place in asked
            ]
        )
        judged = list(candidates)
        for place, verdict in zip(asked, verdicts, strict=True):
            if isinstance(verdict, Failure):
                detail = f"{verdict.reason} {verdict.detail}".strip()
                judged[place] = replace(judged[place], unscored=JUDGE_FAILED, detail=detail)
            else:
                judged[place] = replace(judged[place], score=float(verdict))
        return judged

    def _choose(self, good: Sequence[Candidate], drops: dict[str, Drop]) -> list[Candidate]:
        """Twins of one prompt and what is beyond `keep_per_prompt` go to `drops`; the others come back in order."""
        groups: defaultdict[str, list[Candidate]] = defaultdict(list)
        for candidate in good:
            groups[candidate.prompt.id].append(candidate)
        for group in groups.values():
            different = group
            if "unique" in self._config.keep:
                different = self._without_twins(group, drops)
            for candidate in self._preferred(different)[self._config.keep_per_prompt or len(different) :]:
                drops[candidate.id] = Drop(NOT_CHOSEN)
        return [candidate for candidate in good if candidate.id not in drops]

    def _without_twins(self, group: Sequence[Candidate], drops: dict[str, Drop]) -> list[Candidate]:
        seen = Duplicates(self._config.thresholds.near_duplicate)
        for one in group:
            twin = seen.twin_of(one.id, one.prompt.question, one.thinking, one.answer)
            if twin is not None:
                drops[one.id] = Drop(REASONS["unique"], f"as {twin}")
        return [one for one in group if one.id not in drops]

    def _preferred(self, group: Sequence[Candidate]) -> list[Candidate]:
        """The first are kept."""
        if self._config.prefer == "random":
            key = make_key(self._key, "choose", group[0].prompt.id) if group else 0
            return [group[place] for place in permutation(key, len(group))]
        sign = 1 if self._config.prefer == "shortest" else -1
        return sorted(group, key=lambda one: (sign * len(one.thinking + one.answer), one.index))

    def _refine(self, chosen: Sequence[Candidate], drops: dict[str, Drop]) -> list[Candidate]:
        """The chosen as the teacher rewrites them; failures and what fails the re-check go to `drops`."""
        assert self._refiner is not None
        assert self._config.refine is not None
        settings = self._config.refine
        easy = [one for one in chosen if one.prompt.level in settings.easy_levels]
        others = [one for one in chosen if one.prompt.level not in settings.easy_levels]
        answers = self._refiner.respond_briefly([(one.prompt, self._of("answer", one)) for one in easy])
        rewritten = self._refiner.refine([self._item(one) for one in others], settings.parts)
        made = [*zip(easy, answers, strict=True), *zip(others, rewritten, strict=True)]
        refined = []
        for candidate, outcome in made:
            if isinstance(outcome, Failure):
                drops[candidate.id] = Drop(f"refining: {outcome.reason}", outcome.detail)
            else:
                refined.append(
                    replace(
                        candidate,
                        thinking=outcome.thinking,
                        answer=outcome.answer,
                        finish="stop",
                        well_formed=True,
                    )
                )
        for candidate, drop in zip(refined, self.recheck(refined, AFTER_REFINING), strict=True):
            if drop is not None:
                drops[candidate.id] = drop
        return refined

    def _item(self, one: Candidate) -> RefineItem:
        return RefineItem(one.prompt, one.thinking, one.answer, self._of("refine", one))

    def _of(self, purpose: str, candidate: Candidate) -> int:
        return make_key(self._key, purpose, candidate.id)


def _before_refining(config: SampleConfig) -> Thresholds:
    """The lines for samples: mixed thinking passes where it is going to be translated (paper B.3.2)."""
    lines = config.thresholds
    if config.refine is None or "thinking" not in config.refine.parts:
        return lines
    least = min(lines.own_language, config.refine.least_own_language)
    return lines.model_copy(update={"own_language": least})


def with_score(candidate: Candidate, score: float | None, error: str | None) -> Candidate:
    """The candidate with its rule's verdict; a failed grader is said apart from a rule that does not exist."""
    if error is not None:
        return replace(candidate, score=None, unscored=GRADER_FAILED, detail=error)
    return replace(candidate, score=score, unscored=UNCHECKED, detail="")


def without_twins(outcomes: Iterable[Outcome], near: float) -> list[Outcome]:
    """The outcomes with twins among all rows dropped; the first of equals stays."""
    seen = Duplicates(near)
    result = []
    for one in outcomes:
        twin = one.row and seen.twin_of(one.id, one.row.question, one.row.thinking, one.row.answer)
        result.append(replace(one, row=None, drop=Drop(REASONS["unique"], f"as {twin}")) if twin else one)
    return result
