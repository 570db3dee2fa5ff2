"""The analysis of samples in words: tables for the terminal, `analysis.md` for people, `analysis.json` for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ahalab.analysis.curves import ratio
from ahalab.analysis.helpfulness import Help, measure_help
from ahalab.analysis.onset import Onset
from ahalab.analysis.study import Study
from ahalab.analysis.tally import ALL_WORDS, SIDES, Side
from ahalab.errors import UserError
from ahalab.report.findings import (
    all_onsets_sentence,
    help_sentences,
    onset_cell,
    onset_sentence,
    tokens_sentence,
)
from ahalab.report.wording import counted, number, times, whole
from ahalab.runs.atomic import write_text
from ahalab.text.hostile import make_visible
from ahalab.text.reflection import ReflectiveWords

FORMAT = 1
"""Of `analysis.json`; raised when a key changes its meaning or goes away."""
WORDS_SHOWN = 15
STEPS_SHOWN = 11
NAMES = ("analysis.json", "analysis.md")


@dataclass(frozen=True, slots=True)
class Table:
    """A heading, column names and rows of texts; what comes from samples or files is made visible already."""

    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Findings:
    """One study and what follows from it."""

    study: Study
    onsets: Mapping[str, Onset]
    """Per answer."""
    onsets_per_1k: Mapping[str, Onset]
    """Per 1,000 tokens; empty where tokens are unknown."""
    helps: Help

    @classmethod
    def of(cls, study: Study) -> Findings:
        """Test and compare."""
        tally = study.tally
        return cls(study, tally.onsets(), tally.onsets(per_tokens=True), measure_help(tally))

    def head(self) -> str:
        """What was read, in one line."""
        tally = self.study.tally
        steps = sorted(tally.steps)
        span = (
            f"steps {whole(steps[0])} to {whole(steps[-1])}" if len(steps) > 1 else f"step {whole(steps[0])}"
        )
        columns = f"; columns {self.study.columns.describe()}" if self.study.columns else ""
        return f"{counted(tally.samples, 'sample', 'samples')}, {span}{columns}"

    def sentences(self) -> list[str]:
        """What the numbers say."""
        first = self.onsets[ALL_WORDS]
        said = [onset_sentence("All reflective words", first)]
        if self.onsets_per_1k and first.early is not None:
            said.append(
                onset_sentence("The same free of length", self.onsets_per_1k[ALL_WORDS], "per 1,000 tokens")
            )
        words = all_onsets_sentence(self.onsets) if first.early is not None else None
        tokens = tokens_sentence(self.helps)
        return [make_visible(text) for text in (*said, words, *help_sentences(self.helps), tokens) if text]

    def tables(self) -> list[Table]:
        """Words, then steps, then levels where there are any."""
        made = [self._words(), self._steps()]
        return [*made, self._levels()] if self.helps.levels else made

    def _words(self) -> Table:
        tally = self.study.tally
        first, last = tally.over([self.study.first_step]), tally.over(tally.last_tenth())
        rows = []
        for word in list(self.onsets)[: 1 + WORDS_SHOWN]:
            before, after = (_rate(side, word) for side in (first, last))
            onset = self.onsets[word]
            rows.append(
                [
                    make_visible(word),
                    number(before),
                    number(after),
                    times(ratio(before, after)) or "–",
                    _figure(_per_1k(first, word)),
                    _figure(_per_1k(last, word)),
                    onset_cell(onset),
                    "–" if onset.p is None else f"{onset.p:.2g}",
                ]
            )
        start = f"step {whole(self.study.first_step)}"
        columns = ["word", f"per answer, {start}", "last tenth", "grown", f"per 1,000 tokens, {start}", "last tenth",
                   "onset", "p"]  # fmt: skip
        return Table("Reflective words", columns, rows)

    def _steps(self) -> Table:
        tally = self.study.tally
        steps = sorted(tally.steps)
        last = len(steps) - 1
        kept = sorted({steps[round(i * last / (STEPS_SHOWN - 1))] for i in range(STEPS_SHOWN)})
        rows = []
        for step in kept:
            sides = {name: tally.over([step], name) for name in SIDES}
            total = tally.over([step])
            right, wrong = sides["right"], sides["wrong"]
            graded = right.answers + wrong.answers
            rows.append(
                [
                    whole(step),
                    whole(total.answers),
                    _figure(right.answers / graded if graded else None),
                    _figure(total.per_answer),
                    _figure(total.per_1k),
                    _figure(right.per_answer),
                    _figure(wrong.per_answer),
                ]
            )
        columns = ["step", "answers", "accuracy", "words per answer", "per 1,000 tokens", "in right answers",
                   "in wrong answers"]  # fmt: skip
        return Table("Over the steps", columns, rows)

    def _levels(self) -> Table:
        rows = [
            [
                make_visible(level),
                whole(found.without + found.reflecting),
                _figure(found.accuracy_without),
                _figure(found.accuracy_reflecting),
                "–" if found.difference is None else f"{found.difference:+.3f}",
            ]
            for level, found in self.helps.levels.items()
        ]
        columns = ["level", "answers", "accuracy without words", "with words", "difference at equal step"]
        return Table("By level of difficulty", columns, rows)

    def as_data(self) -> dict[str, Any]:
        """For programs: every step, every word."""
        study = self.study
        return {
            "name": study.name,
            "samples": study.tally.samples,
            "columns": dict(study.columns.names) if study.columns else None,
            "notices": study.notices,
            "steps": [
                {
                    "step": step,
                    **_data(study.tally.over([step])),
                    **{name: _data(study.tally.over([step], name)) for name in SIDES},
                }
                for step in sorted(study.tally.steps)
            ],
            "onsets": {word: asdict(onset) for word, onset in self.onsets.items()},
            "onsets_per_1k": {word: asdict(onset) for word, onset in self.onsets_per_1k.items()},
            "reflection_helps": asdict(self.helps),
            "first_right_with_a_word": {"step": study.example_step, "text": study.example}
            if study.example is not None
            else None,
        }


def write_findings(
    findings: Sequence[Findings], words: ReflectiveWords, source: str, folder: Path
) -> list[Path]:
    """Write `analysis.json` and `analysis.md` into `folder`, which is made when missing.

    Raises:
        UserError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output {folder}: the folder cannot be made ({error.strerror}).") from error
    paths = [folder / name for name in NAMES]
    content = {
        "format": FORMAT,
        "path": source,
        "words": {"en": list(words.english), "zh": list(words.chinese)},
        "studies": [one.as_data() for one in findings],
    }
    # ASCII, because a sample may hold half an emoji, which UTF-8 cannot say and JSON can.
    write_text(paths[0], json.dumps(content, ensure_ascii=True, allow_nan=False, indent=1) + "\n")
    write_text(paths[1], as_markdown(findings, source))
    return paths


def as_markdown(findings: Sequence[Findings], source: str) -> str:
    """The same for people; text of a sample stands in a block that Markdown does not interpret."""
    lines = [f"# Reflective words in {_inline(source)}"]
    for one in findings:
        lines += ["", f"## {_inline(one.study.name)}", "", f"{_inline(one.head())}."]
        lines += (
            ["", *(f"- note: {_inline(notice)}" for notice in one.study.notices)] if one.study.notices else []
        )
        lines += ["", *(f"- {_inline(sentence)}" for sentence in one.sentences())]
        for table in one.tables():
            lines += ["", f"### {table.heading}", ""]
            lines.append(f"| {' | '.join(map(_inline, table.columns))} |")
            lines.append(f"|{'---|' * len(table.columns)}")
            lines += [f"| {' | '.join(map(_inline, row))} |" for row in table.rows]
        if one.study.example is not None:
            lines += [
                "",
                f"The first right answer with a reflective word, step {one.study.example_step}:",
                "",
            ]
            lines += [f"    {line}" for line in make_visible(one.study.example).split("\n")]
    return "\n".join(lines) + "\n"


def _data(side: Side) -> dict[str, Any]:
    return {
        "answers": side.answers,
        "reflecting": side.reflecting,
        "tokens": side.tokens if side.with_tokens == side.answers else None,
        "per_answer": side.per_answer,
        "per_1k": side.per_1k,
        "words": dict(sorted(side.words.items())),
    }


def _rate(side: Side, word: str) -> float:
    count = side.occurrences if word == ALL_WORDS else side.words[word]
    return count / side.answers if side.answers else 0.0


def _per_1k(side: Side, word: str) -> float | None:
    if side.per_1k is None:
        return None
    return side.per_1k if word == ALL_WORDS else 1000 * side.words[word] / side.tokens


def _figure(value: float | None) -> str:
    return "–" if value is None else number(value)


def _inline(text: str) -> str:
    """Text that Markdown takes for text: signs with a meaning are escaped, one line."""
    shown = make_visible(text).replace("\n", " ")
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]<>#|" else sign for sign in shown)
