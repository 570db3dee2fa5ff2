"""`aha data stats`: the paper's tables of a data set (B.3.3 and Table 4), languages, and percentiles of lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ahalab.datatools.histogram import ERROR, EXACT_BELOW, Histogram
from ahalab.datatools.layouts import Layout, head_of, layout_of
from ahalab.datatools.reading import GoodRows, Watch
from ahalab.datatools.stream import Row
from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow, LeftOut
from ahalab.prompts.mapping import ColumnMapping, RowMapping
from ahalab.prompts.source import detect_language
from ahalab.stages.datasets import DomainTally
from ahalab.stages.foreign_rows import RowReader
from ahalab.text.quality import words

Count = Callable[[str], int]

TYPES: dict[str, tuple[str, str]] = {
    "math": ("quantitative reasoning", "number / expression / equation"),
    "exact": ("short answer", "text / number"),
    "choice": ("multiple choice", "option"),
    "countdown": ("arithmetic puzzle", "expression"),
    "code": ("algorithm", "code solution"),
    "patch": ("bug fixing", "code solution"),
    "code_io": ("input / output of code", "value"),
    "reasoning_gym": ("puzzle", "text / number"),
    "none": ("open question", "ranked responses"),
}
"""Verifier → question type and output type, in the words of the paper's Table 4 where it has them."""

MOST_DOMAINS = 200
"""Domains that are told apart; the rest are counted as one (a column that is no domain has as many values as rows)."""
OTHERS = "(others)"

COUNTS: dict[str, str] = {
    "words": "words: runs of letters, numbers, and each Han character; no tokenizer was asked",
    "characters": "characters; no tokenizer was asked",
}
Part = Literal["question", "thinking", "answer", "thinking and answer"]


@dataclass(slots=True)
class Prompts:
    """The prompts of one domain."""

    count: int = 0
    tokens: int = 0
    verifiers: Counter[str] = field(default_factory=Counter)

    def as_row(self, domain: str) -> dict[str, Any]:
        """A row of the table, in the shape of the paper's Table 4."""
        known = [TYPES.get(name, (name, name)) for name, _ in self.verifiers.most_common()]
        return {
            "type": domain,
            "prompts": self.count,
            "question_type": ", ".join(dict.fromkeys(question for question, _ in known)),
            "output_type": ", ".join(dict.fromkeys(output for _, output in known)),
            "tokens": round(self.tokens / max(1, self.count), 1),
        }


class Figures:
    """Everything that is counted, row by row, in bounded memory."""

    def __init__(self, path: Path, counted: str, recognised: str | None) -> None:
        self.path, self.counted, self.recognised = path, counted, recognised
        self.rows = 0
        self.skipped: Counter[str] = Counter()
        self.seconds = 0.0
        self.size = 0
        self.unfit: dict[str, Counter[str]] = {"rows": Counter(), "prompts": Counter()}
        """Rows that a table leaves out, by reason."""
        self.samples = DomainTally()
        self.sampled = 0
        self.prompts: dict[str, Prompts] = {}
        self.languages: dict[str, Counter[str]] = {}
        self.lengths: dict[Part, Histogram] = {}
        self._domains: set[str] = set()

    def domain(self, given: str) -> str:
        """`given`, or `OTHERS` where there are too many."""
        if given not in self._domains:
            if len(self._domains) >= MOST_DOMAINS:
                return OTHERS
            self._domains.add(given)
        return given

    def length(self, part: Part, tokens: int) -> None:
        """Count the length of one part of a row."""
        self.lengths.setdefault(part, Histogram()).add(tokens)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "file": str(self.path),
            "recognised": self.recognised,
            "rows": self.rows,
            "skipped": dict(self.skipped),
            "tokens_are": self.counted,
            "samples": self.samples.table() if self.sampled else None,
            "samples_left_out": dict(self.unfit["rows"]),
            "prompts": self.prompt_table() if self.prompts else None,
            "prompts_left_out": dict(self.unfit["prompts"]),
            "languages": self.language_table(),
            "lengths": {part: self.lengths[part].as_dict() for part in self.lengths},
            "percentiles": f"exact below {EXACT_BELOW}, from there on within {100 * ERROR:g} % of the size",
        }

    def prompt_table(self) -> list[dict[str, Any]]:
        """A row a domain, most prompts first, and the total."""
        ordered = sorted(self.prompts.items(), key=lambda item: (-item[1].count, item[0]))
        total = Prompts(
            sum(one.count for _, one in ordered),
            sum(one.tokens for _, one in ordered),
            sum((one.verifiers for _, one in ordered), Counter()),
        )
        rows = [one.as_row(domain) for domain, one in ordered]
        return [*rows, {**total.as_row("total"), "question_type": "", "output_type": ""}]

    def language_table(self) -> list[dict[str, Any]]:
        """Language, rows and share of every domain, and of all."""
        total: Counter[str] = sum(self.languages.values(), Counter())
        rows = [(domain, self.languages[domain]) for domain in sorted(self.languages)]
        return [
            {"domain": domain, "language": language, "rows": count, "share": count / found.total()}
            for domain, found in [*rows, ("total", total)]
            for language, count in found.most_common()
        ]


def measure(
    path: Path,
    watch: Watch,
    *,
    count: Count | None = None,
    counted: str | None = None,
    unit: str = "words",
    mapping: ColumnMapping | None = None,
    domain_column: str | None = None,
    skip_bad_rows: bool = False,
) -> Figures:
    """Count the rows of a file as worked answers and as prompts, whichever they can be read as.

    Args:
        count: tokens of a text; words or characters (`unit`) when left out.
        counted: what `count` counts, in words.
        domain_column: column of each row's domain; `domain` where there is such a column.

    Raises:
        UserError: a file that cannot be read or is of an unknown layout, an unknown column, a bad row.
        Interrupted: Ctrl-C.
    """
    if unit not in COUNTS:
        raise UserError(f"--unit {unit}: expected one of {', '.join(COUNTS)}")
    head = head_of(path)
    layout = layout_of(head, str(path), mapping, "--map")
    if layout.prompts is None and "rows" not in layout.kinds:
        raise UserError(f"{layout.why_not or path}. Say so with --map, such as --map question=prompt")
    column = _domain_column(domain_column, layout, path)
    figures = Figures(path, counted or COUNTS[unit], layout.recognised)
    counter = count or (len if unit == "characters" else _words)
    reader = None
    if "rows" in layout.kinds:
        # Of GSM8K's answers the steps are the thinking.
        marker = layout.prompts.answer_after if isinstance(layout.prompts, RowMapping) else None
        reader = RowReader("rows", {}, layout.columns, label=str(path), where=str(path), answer_after=marker)
    good = GoodRows(path, watch, "stats", skip_bad_rows=skip_bad_rows)
    for row in good:
        _add(figures, row, layout, reader, column, counter)
    figures.rows, figures.skipped, figures.seconds = good.rows, good.skipped, good.seconds
    figures.size = path.stat().st_size
    return figures


def _words(text: str) -> int:
    return len(words(text))


def _domain_column(given: str | None, layout: Layout, path: Path) -> str | None:
    if given is not None:
        if given not in layout.columns:
            raise UserError(
                f"--domain-column {given}: {path} has no such column; there are {', '.join(layout.columns)}"
            )
        return given
    return next((column for column in layout.columns if column.lower() == "domain"), None)


def _add(
    figures: Figures, row: Row, layout: Layout, reader: RowReader | None, column: str | None, count: Count
) -> None:
    named = row.values.get(column) if column is not None else None
    fallback = layout.prompts.domain if layout.prompts is not None else "general"
    domain = figures.domain(named if isinstance(named, str) and named.strip() else fallback)
    known: dict[str, int] = {}
    question = _as_sample(figures, row.values, reader, domain, count, known) if reader is not None else None
    asked = _as_prompts(figures, row.values, layout, domain, count, known)
    language = asked or (None if question is None else detect_language(question))
    if language is not None:
        figures.languages.setdefault(domain, Counter())[language] += 1


def _as_sample(
    figures: Figures,
    values: Mapping[str, Any],
    reader: RowReader,
    domain: str,
    count: Count,
    known: dict[str, int],
) -> str | None:
    """Count a row as a worked answer; its question, or None for what is none. `known`: text → tokens, to be filled."""
    try:
        reply = reader.reply(values)
    except BadRow as bad:
        figures.unfit["rows"][bad.reason] += 1
        return None
    thinking, answer = count(reply.thinking), count(reply.answer)
    figures.samples.add(domain, reply.rounds, thinking + answer)
    figures.sampled += 1
    known[reply.question] = count(reply.question)
    figures.length("question", known[reply.question])
    if reply.thinking:
        figures.length("thinking", thinking)
    figures.length("answer", answer)
    figures.length("thinking and answer", thinking + answer)
    return reply.question


def _as_prompts(
    figures: Figures,
    values: Mapping[str, Any],
    layout: Layout,
    domain: str,
    count: Count,
    known: Mapping[str, int],
) -> str | None:
    """Count a row as the prompts it makes; the first one's language, or None for none. `known`: text → tokens."""
    if layout.prompts is None:
        return None
    try:
        made = layout.prompts.prompts(values)
    except BadRow as bad:
        figures.unfit["prompts"][bad.reason] += 1
        return None
    except LeftOut as left:
        figures.unfit["prompts"][left.reason] += 1
        return None
    found = figures.prompts.setdefault(domain, Prompts())
    for fields in made:
        tokens = known[fields.question] if fields.question in known else count(fields.question)
        found.count += 1
        found.tokens += tokens
        found.verifiers[layout.prompts.verifier] += 1
        if not known:
            figures.length("question", tokens)
    return made[0].language if made else None
