"""Figures that benchmarks have of their own: BBQ's bias, copied text, XSTest's compliance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ahalab.safety.comparison.counts import count
from ahalab.safety.comparison.marking import Marks
from ahalab.safety.comparison.reading import Answered, Evaluation, is_wrapped
from ahalab.safety.comparison.table import EMPTY, Cell, Convention, Table, amount, points
from ahalab.safety.comparison.tables import finished, row_of
from ahalab.safety.records import SafetyItem

Made = Callable[[Answered, list[SafetyItem]], tuple[Cell, ...] | None]


def metric_tables(evaluation: Evaluation, marks: Marks) -> list[Table | None]:
    """A table for every set that has a scorer of its own."""
    kinds = {"bbq": _bbq_table, "copyright": _copyright_table, "compliance": _compliance_table}
    return [
        kinds[kind](evaluation, marks, name)
        for name in evaluation.sets
        if (kind := evaluation.scorer(name)) in kinds and not is_wrapped(evaluation.set_items(name)[0])
    ]


def _bbq_table(evaluation: Evaluation, marks: Marks, name: str) -> Table | None:
    from ahalab.safety.benchmarks.bbq import bbq_figures

    def made(target: Answered, items: list[SafetyItem]) -> tuple[Cell, ...] | None:
        found = bbq_figures(items, target.replies.values())
        if not found["n"]:
            return None
        return (
            _share(found["accuracy"], "accuracy"),
            _share(found["accuracy_refusal_is_safe"], "accuracy_refusal_is_safe"),
            _share(found["accuracy_ambiguous"], "accuracy_ambiguous"),
            _share(found["accuracy_disambiguated"], "accuracy_disambiguated"),
            _bias(found["bias_ambiguous"], "bias_ambiguous"),
            _bias(found["bias_disambiguated"], "bias_disambiguated"),
            amount(found["no_option_named"], "no_option_named"),
        )

    columns = (
        "accuracy %",
        "accuracy %, refusal is safe",
        "in ambiguous contexts %",
        "in disambiguated ones %",
        "bias score, ambiguous",
        "bias score, disambiguated",
        "no option named",
    )
    notes = (
        "Bias scores run from -1 to 1; 0 is no bias, 1 always follows the stereotype (Parrish et al. 2022, section 5).",
    )
    return _table(evaluation, marks, name, "BBQ: accuracy and bias", columns, made, notes)


def _copyright_table(evaluation: Evaluation, marks: Marks, name: str) -> Table | None:
    from ahalab.safety.benchmarks.copyright import copyright_figures

    def made(target: Answered, items: list[SafetyItem]) -> tuple[Cell, ...] | None:
        found = copyright_figures(items, target.replies.values())
        coverage = found["mean_coverage"]
        return (
            amount(found["n"], "n"),
            _share(found["copied"], "copied"),
            _share(found["harmbench"], "harmbench"),
            EMPTY if coverage is None else Cell(points(coverage), figures={"mean_coverage": coverage}),
            amount(found["no_reference"], "no_reference"),
        )

    columns = (
        "scored",
        "copied %",
        "by HarmBench's threshold %",
        "mean share of the text %",
        "without reference",
    )
    notes = ("Verbatim overlap of the answer with the protected text; lower is better.",)
    return _table(evaluation, marks, name, "Copied text", columns, made, notes, "refusal is safe")


def _compliance_table(evaluation: Evaluation, marks: Marks, name: str) -> Table | None:
    from ahalab.safety.benchmarks.compliance import compliance_figures

    def made(target: Answered, items: list[SafetyItem]) -> tuple[Cell, ...] | None:
        found = compliance_figures(items, target.judgements.get("answer", {}).values())
        if not found["n"]:
            return None
        safe, unsafe = found["safe_half"], found["unsafe_half"]
        return (
            _share(safe["over_refusal_full"], "over_refusal_full"),
            _share(safe["over_refusal_full_or_partial"], "over_refusal_full_or_partial"),
            _share(unsafe["compliance"], "compliance_with_unsafe"),
            _share(unsafe["classes"]["partial refusal"], "partial_refusal_of_unsafe"),
            amount(found["not_labelled"], "not_labelled"),
        )

    columns = (
        "safe prompts fully refused %",
        "fully or partly refused %",
        "unsafe prompts complied with %",
        "unsafe partly refused %",
        "without a class",
    )
    return _table(evaluation, marks, name, "Compliance and over-refusal", columns, made, ())


def _table(
    evaluation: Evaluation,
    marks: Marks,
    name: str,
    title: str,
    columns: tuple[str, ...],
    made: Made,
    notes: tuple[str, ...],
    convention: Convention = "three-way",
) -> Table | None:
    rows = []
    for target in evaluation.targets:
        items = [one for one in evaluation.set_items(name) if target.expected(one.id, "answer")]
        cells = made(target, items) if items else None
        if cells is not None:
            rows.append(row_of(evaluation, marks, target, cells, [count(target, items)]))
    if not rows:
        return None
    return finished(Table(f"metrics:{name}", f"{title}: {name}", columns, tuple(rows), convention, notes))


def _share(found: Mapping[str, Any] | None, name: str) -> Cell:
    if found is None:
        return EMPTY
    figures = {name: found["value"], f"{name}_low": found["low"], f"{name}_high": found["high"]}
    return Cell(points(found["value"]), f"[{points(found['low'])}, {points(found['high'])}]", figures)


def _bias(found: Mapping[str, Any] | None, name: str) -> Cell:
    if found is None:
        return EMPTY
    low, high = found["low"], found["high"]
    ends = "" if low is None or high is None else f"[{low:+.2f}, {high:+.2f}]"
    return Cell(
        f"{found['value']:+.2f}", ends, {name: found["value"], f"{name}_low": low, f"{name}_high": high}
    )
