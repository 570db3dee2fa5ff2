"""One pass over a stage's samples: what to show, and how right answers differ from wrong ones.

Sample files may hold millions of long texts: rows are streamed, and only a bounded number of shortened ones is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ahalab.analysis.curves import Curve, is_number
from ahalab.errors import AhaError
from ahalab.runs.readers import read_samples

SHOWN_CHARACTERS = 4_000
"""Longest text shown; of a longer one the head and the tail, where the answer is (our choice)."""
TRACKED_PROMPTS = 256
"""Prompts of the first step (or of an evaluation) that are candidates for a then-and-now pair (our choice)."""


@dataclass(frozen=True, slots=True)
class ShownSample:
    """A sample as it can be shown: untrusted text, shortened, not yet escaped."""

    stage: str
    step: int | None
    prompt_id: str
    index: int
    question: str
    gold: str
    head: str
    cut: int
    """Characters left out between `head` and `tail`; 0 when the text is whole and all in `head`."""
    tail: str
    answer: str
    correct: bool | None
    well_formed: bool
    fault: str | None
    tokens: int
    thinking_tokens: int
    total: float | None
    reflective: Mapping[str, int]


@dataclass(slots=True)
class Outcome:
    """Sums over the right, or the wrong, answers of one step."""

    answers: int = 0
    reflective: int = 0
    thinking_tokens: int = 0


@dataclass(slots=True)
class SampleScan:
    """What one pass over a training stage's samples gave."""

    rows: int = 0
    first_reflective: ShownSample | None = None
    """The first graded-right sample, in file order, that holds a reflective word."""
    pair: tuple[ShownSample, ShownSample] | None = None
    """First and last sample of one prompt that was drawn at the first step and again later."""
    right: dict[int, Outcome] = field(default_factory=dict)
    wrong: dict[int, Outcome] = field(default_factory=dict)
    faults: dict[int, Counter[str]] = field(default_factory=dict)
    """Broken format rules by step; `answers` of right and wrong are the whole."""
    truncated: int = 0
    trouble: str | None = None

    def rate(self, name: str, outcomes: Mapping[int, Outcome], column: str) -> Curve | None:
        """`column` per answer over steps, for the right or the wrong answers."""
        steps = [step for step in sorted(outcomes) if outcomes[step].answers]
        if not steps:
            return None
        values = [getattr(outcomes[step], column) / outcomes[step].answers for step in steps]
        return Curve(name, tuple(steps), tuple(values))


class Dates:
    """Updates made before a row's samples were drawn, by the `rollouts` of the stage's `Curves`.

    A rollout's samples are split over its updates: all were drawn before the first of them. A rollout without metrics
    yet is dated by its first row.
    """

    def __init__(self, rollouts: Mapping[int, int]) -> None:
        self._known = dict(rollouts)
        self._origin: int | None = None

    def step_of(self, row: Mapping[str, Any]) -> int:
        """The step of a row of `samples/`, given in the order of the files."""
        step = _whole(row.get("step"))
        rollout = rollout_of(row)
        if self._origin is None:
            # As in the metrics: where steps are counted from 1, the first samples came after 0 updates.
            self._origin = int(step > 0 and rollout <= 1)
        return self._known.setdefault(rollout, step - self._origin)


def rollout_of(row: Mapping[str, Any]) -> int:
    """The generation phase of a row; its step where it names none."""
    return _whole(row.get("rollout")) or _whole(row.get("step"))


Watcher = Callable[[Mapping[str, Any], int], None]
"""Is shown every row and its step."""


def scan_samples(
    stage_dir: Path, stage: str, rollouts: Mapping[int, int], watchers: Sequence[Watcher] = ()
) -> SampleScan:
    """Stream a training stage's samples once; a damaged file gives what could be read and `trouble`.

    `rollouts` is that of the stage's `Curves`: it dates the samples. `watchers` see the rows of the same pass.
    """
    scan = SampleScan()
    first_rollout = 0
    dates = Dates(rollouts)
    tracked: dict[str, list[ShownSample | None]] = {}
    for row in _rows(stage_dir, scan):
        rollout, step = rollout_of(row), dates.step_of(row)
        if not scan.rows:
            first_rollout = rollout
        scan.rows += 1
        _count(scan, row, step)
        for watch in watchers:
            watch(row, step)
        if scan.first_reflective is None and is_correct(row) and _reflective(row):
            scan.first_reflective = show(row, stage, step)
        if row.get("sample") != 0:
            continue
        prompt_id = _text(row.get("prompt_id"))
        if rollout == first_rollout and prompt_id not in tracked and len(tracked) < TRACKED_PROMPTS:
            tracked[prompt_id] = [show(row, stage, step), None]
        elif prompt_id in tracked and rollout != first_rollout:
            tracked[prompt_id][1] = show(row, stage, step)
    scan.pair = _best_pair((first, last) for first, last in tracked.values() if first and last)
    return scan


def find_pair(
    before: tuple[Path, str], after: tuple[Path, str]
) -> tuple[tuple[ShownSample, ShownSample] | None, str | None]:
    """One held-out prompt answered before and after training, and why none was found where reading failed.

    `before` and `after` are (stage folder, stage name). Preferred: wrong before, right with a reflective word after;
    then wrong before, right after; then any prompt in both. The earliest in file order wins.
    """
    trouble = SampleScan()
    candidates: dict[str, ShownSample] = {}
    for row in _rows(before[0], trouble):
        if row.get("sample") != 0:
            continue
        if len(candidates) >= TRACKED_PROMPTS:
            break
        candidates.setdefault(str(row.get("prompt_id")), show(row, before[1], None))
    pairs: list[tuple[ShownSample, ShownSample]] = []
    for row in _rows(after[0], trouble):
        first = candidates.pop(str(row.get("prompt_id")), None) if row.get("sample") == 0 else None
        if first is not None:
            pairs.append((first, show(row, after[1], None)))
            if _preference(pairs[-1]) == 0 or not candidates:
                break
    return _best_pair(pairs), trouble.trouble


def is_correct(row: Mapping[str, Any]) -> bool | None:
    """Whether the verdict is a full mark; None where it was not graded."""
    score = row.get("correct")
    if score is None and isinstance(reward := row.get("reward"), Mapping):
        score = reward.get("accuracy")
    return float(score) >= 1.0 if is_number(score) else None


def show(row: Mapping[str, Any], stage: str, step: int | None) -> ShownSample:
    """Shorten a sample row for display; missing or odd fields become empty ones."""
    head, cut, tail = shorten(_text(row.get("text")), SHOWN_CHARACTERS)
    total = row.get("total")
    return ShownSample(
        stage=stage,
        step=step,
        prompt_id=_text(row.get("prompt_id")),
        index=_whole(row.get("sample")),
        question=_clip(_text(row.get("question")), 1_000),
        gold=_clip(_text(row.get("gold")), 300),
        head=head,
        cut=cut,
        tail=tail,
        answer=_clip(_text(row.get("answer")), 300),
        correct=is_correct(row),
        well_formed=bool(row.get("well_formed")),
        fault=_clip(_text(row["fault"]), 100) if row.get("fault") is not None else None,
        tokens=_whole(row.get("tokens")),
        thinking_tokens=_whole(row.get("thinking_tokens")),
        total=float(total) if is_number(total) else None,
        reflective=_reflective(row),
    )


def shorten(text: str, limit: int) -> tuple[str, int, str]:
    """(head, characters left out, tail): three quarters of `limit` from the start, one quarter from the end."""
    if len(text) <= limit:
        return text, 0, ""
    head = limit * 3 // 4
    return text[:head], len(text) - limit, text[len(text) - (limit - head) :]


def _rows(stage_dir: Path, scan: SampleScan) -> Iterator[Mapping[str, Any]]:
    reader: Any = None
    try:
        reader = read_samples(stage_dir)
        for row in reader:
            if isinstance(row, Mapping):
                yield row
    except (AhaError, OSError, UnicodeDecodeError) as error:
        scan.trouble = str(error)
    scan.truncated += int(getattr(reader, "truncated", 0) or 0)


def _count(scan: SampleScan, row: Mapping[str, Any], step: int) -> None:
    correct = is_correct(row)
    if correct is not None:
        outcome = (scan.right if correct else scan.wrong).setdefault(step, Outcome())
        outcome.answers += 1
        outcome.reflective += sum(_reflective(row).values())
        outcome.thinking_tokens += _whole(row.get("thinking_tokens"))
    if row.get("fault") is not None:
        scan.faults.setdefault(step, Counter())[_clip(_text(row["fault"]), 100)] += 1


def _best_pair(
    pairs: Iterable[tuple[ShownSample, ShownSample]],
) -> tuple[ShownSample, ShownSample] | None:
    return min(pairs, key=_preference, default=None)


def _preference(pair: tuple[ShownSample, ShownSample]) -> int:
    first, last = pair
    if first.correct is False and last.correct:
        return 0 if last.reflective else 1
    return 2


def _reflective(row: Mapping[str, Any]) -> dict[str, int]:
    words = row.get("reflective")
    if not isinstance(words, Mapping):
        return {}
    return {str(word): int(count) for word, count in words.items() if is_number(count) and count > 0}


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _whole(value: object) -> int:
    return int(value) if is_number(value) else 0


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
