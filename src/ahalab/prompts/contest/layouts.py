"""The layouts of code data sets: recognised by their columns, as other known data sets are; or named by a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ahalab.errors import UserError
from ahalab.prompts.contest import apps, codeforces, livecodebench, own
from ahalab.prompts.contest.options import COLUMNS, CodeOptions, LayoutName
from ahalab.prompts.contest.problem import Task
from ahalab.validation import suggestion


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of one kind of data set are laid out."""

    name: LayoutName
    title: str
    needs: tuple[str, ...]
    """Columns that tell the layout."""
    reads: tuple[str, ...]
    """Further columns that are read where they are there."""
    read: Callable[[Mapping[str, Any]], Task]


_OWN = (
    "id",
    "title",
    "time_limit",
    "memory_limit",
    "cpu_seconds",
    "memory_megabytes",
    "level",
    "tags",
    "solutions",
)

LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "apps",
        "APPS and TACO",
        ("question", "input_output"),
        (
            "problem_id",
            "name",
            "url",
            "starter_code",
            "solutions",
            "difficulty",
            "time_limit",
            "memory_limit",
        ),
        apps.read,
    ),
    Layout(
        "livecodebench",
        "LiveCodeBench",
        ("question_content", "public_test_cases"),
        ("question_title", "question_id", "private_test_cases", "starter_code", "metadata", "difficulty"),
        livecodebench.read,
    ),
    Layout(
        "codeforces",
        "Codeforces, as open-r1/codeforces",
        ("description", "input_format", "output_format"),
        (
            *(
                "id",
                "title",
                "note",
                "examples",
                "interaction_format",
                "official_tests",
                "input_mode",
                "executable",
            ),
            *("generated_checker", "time_limit", "memory_limit", "rating", "solutions"),
        ),
        codeforces.read,
    ),
    Layout(
        "bug_fix",
        "our own bug fixing",
        ("issue", "files", "tests"),
        _OWN,
        own.read_bug_fix,
    ),
    Layout(
        "contest",
        "our own contest problems",
        ("question", "tests"),
        (*_OWN, "function", "class", "signature", "compare", "tolerance", "checker", "generator"),
        own.read_contest,
    ),
)

_GUESSES: dict[str, tuple[str, ...]] = {
    "question": (
        "prompt",
        "problem",
        "description",
        "statement",
        "problem_description",
        "text",
        "instruction",
    ),
    "tests": (
        "test_cases",
        "testcases",
        "test_list",
        "cases",
        "public_tests",
        "private_tests",
        "examples",
        "io",
    ),
    "inputs": ("input", "test_inputs", "stdin"),
    "outputs": ("output", "expected", "expected_output", "test_outputs", "stdout"),
    "solutions": ("solution", "canonical_solution", "gold_standard_solution", "reference", "code", "answer"),
    "function": ("fn_name", "func_name", "entry_point", "function_name"),
    "signature": ("starter_code", "template", "prompt_code"),
    "time_limit": ("timelimit", "time-limit"),
    "memory_limit": ("memorylimit", "memory-limit"),
    "level": ("difficulty", "rating"),
    "issue": ("problem_statement", "bug_report", "description"),
    "files": ("source", "sources", "buggy_files", "buggy_code"),
}
"""What other tables call our columns: only to fill in the mapping that an error shows."""


def named(name: LayoutName) -> Layout:
    """The layout of that name."""
    return next(layout for layout in LAYOUTS if layout.name == name)


def recognise(columns: Sequence[str]) -> Layout | None:
    """The layout whose columns these are."""
    return next((layout for layout in LAYOUTS if set(layout.needs) <= set(columns)), None)


def choose(
    options: CodeOptions, verifier: str | None, columns: Sequence[str], table: str, entry: str, where: str
) -> Layout:
    """The layout of a table that holds code problems, as the recipe says. `entry` is its `file: …` line.

    Raises UserError: a column that is not there; a layout whose columns are missing; or a table of no known layout,
    showing the mapping to write.
    """
    if options.columns:
        for name, column in options.columns.items():
            if column not in columns:
                raise UserError(
                    f"{where}.code.columns.{name}: {table} has no column {column!r}; {suggestion(column, columns)}"
                )
        fixing = verifier == "patch" or options.layout == "bug_fix" or "issue" in options.columns
        layout = named("bug_fix" if fixing else "contest")
        there = {*columns, *options.columns}
        tested = "inputs" in there and "outputs" in there and not fixing
        missing = [name for name in layout.needs if name not in there and not (name == "tests" and tested)]
        if missing:
            raise UserError(
                f"{where}.code.columns: which column of {table} is {', '.join(f'`{name}`' for name in missing)}? "
                f"Columns there: {', '.join(columns)}"
            )
        return layout
    if options.layout is not None:
        layout = named(options.layout)
        missing = [name for name in layout.needs if name not in columns]
        if missing:
            raise UserError(
                f"{where}.code.layout: {layout.name} ({layout.title}) needs the column {missing[0]!r}, and {table} has "
                f"{', '.join(columns)}"
            )
        return layout
    layout_found = recognise(columns)
    if layout_found is None:
        raise UserError(unknown(columns, table, entry, where, verifier))
    return layout_found


def unknown(columns: Sequence[str], table: str, entry: str, where: str, verifier: str | None) -> str:
    """What a person reads whose table has no known layout: the columns found, those known, the mapping to write."""
    known = "; ".join(f"{layout.title} ({', '.join(layout.needs)})" for layout in LAYOUTS)
    wanted: tuple[str, ...] = ("issue", "files", "tests") if verifier == "patch" else ("question", "tests")
    guessed = _guessed(columns, fixing=verifier == "patch")
    if "inputs" in guessed and "outputs" in guessed and "tests" not in guessed:
        wanted = tuple(name for name in wanted if name != "tests")
    elif "tests" in guessed:
        guessed.pop("inputs", None)
        guessed.pop("outputs", None)
    pairs = [f"{name}: {guessed.get(name, '?')}" for name in wanted]
    pairs += [f"{name}: {column}" for name, column in guessed.items() if name not in wanted]
    hint = (
        " Rows of SWE-bench name a repository and a commit: they need `files` and `tests` as texts."
        if "base_commit" in columns
        else ""
    )
    return (
        f"{where}: {table} has none of the known layouts of code problems. Columns there: {', '.join(columns)}. "
        f"Known: {known}.{hint} Say which column is what, in place of each `?`:\n"
        f"  - {entry}\n"
        f"    verifier: {verifier or 'code'}\n"
        f"    code:\n"
        f"      columns: {{{', '.join(pairs)}}}"
    )


def _guessed(columns: Sequence[str], *, fixing: bool) -> dict[str, str]:
    """Our name -> the column that is most likely meant."""
    lowered = {column.lower(): column for column in reversed(columns)}
    found = {}
    for name in COLUMNS:
        if name != ("question" if fixing else "issue") and (fixing or name != "files"):
            there = [lowered[guess] for guess in (name, *_GUESSES.get(name, ())) if guess in lowered]
            found.update({name: there[0]} if there else {})
    return found
