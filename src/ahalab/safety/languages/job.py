"""From a plan to the files of a translated set, and from a person's checks to its final items and error rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.runs.atomic import read_json, write_bytes, write_json
from ahalab.safety.languages.checks import can_identify
from ahalab.safety.languages.codes import language_name
from ahalab.safety.languages.human import PER_LANGUAGE, apply_checks, draw, read_checks, write_check_file
from ahalab.safety.languages.items import beside, item_of, read_items_file, write_items
from ahalab.safety.languages.plan import TranslationPlan
from ahalab.safety.languages.translation import Translated, Translation, problems
from ahalab.safety.records import SafetyItem


def check_output(output: Path) -> Path:
    """The file to write. UserError: not named x.jsonl, or its folder is missing."""
    if output.suffix != ".jsonl":
        raise UserError(f"--output {output}: expected a name that ends in .jsonl")
    if not output.absolute().parent.is_dir():
        raise UserError(f"--output {output}: the folder {output.absolute().parent} is missing; make it first")
    return output


def write_translation(
    plan: TranslationPlan, found: Translation, output: Path, per_language: int = PER_LANGUAGE
) -> dict[str, Any]:
    """Write what passed, the sample for a person and the report; what a person said before is applied again.

    Raises:
        UserError: `x.checked.csv` does not fit the translations any more; it names the row.
    """
    passed = [one for one in found.done if not one.problem]
    machine = [item_of(one, plan.benchmark.scorer, found.endpoint, found.prompt) for one in passed]
    sources = {item.id: item.prompt for item in plan.benchmark.items}
    write_items(beside(output, "machine.jsonl"), machine)
    write_check_file(beside(output, "check.csv"), draw(machine, per_language, plan.seed), sources)
    report = {
        "benchmark": plan.benchmark.name,
        "sha256": plan.benchmark.sha256,
        "source": plan.benchmark.source,
        "from": plan.source,
        "questions": plan.questions,
        "seed": plan.seed,
        "endpoint": found.endpoint,
        "prompt": found.prompt,
        "languages": [_language(plan, one.language, found.done) for one in plan.into],
        "left_out": [[one.wanted.id, one.problem] for one in found.done if one.problem],
        "counts": dict(found.counts),
        "cost": found.cost,
    }
    write_json(beside(output, "report.json"), report)
    return _build(output, report, machine)


def apply_check_file(output: Path, checked: Path) -> dict[str, Any]:
    """Apply a file of checks to the translations of `output`, from the endpoint's own words, however often.

    Raises:
        UserError: nothing was translated there, or a row of the checks does not fit.
    """
    machine = read_items_file(beside(output, "machine.jsonl"))
    report = read_json(beside(output, "report.json"))
    apply_checks(machine, read_checks(checked), str(checked))  # nothing is written where a row does not fit
    kept = beside(output, "checked.csv")
    if checked.resolve() != kept.resolve():
        write_bytes(kept, checked.read_bytes())
    return _build(output, report, machine)


def _build(output: Path, report: dict[str, Any], machine: Sequence[SafetyItem]) -> dict[str, Any]:
    """The final items and the report's human part."""
    path = beside(output, "checked.csv")
    checks = read_checks(path) if path.is_file() else []
    items, rates = apply_checks(machine, checks, str(path))
    write_items(output, items)
    for row in report["languages"]:
        rate = rates.get(row["language"])
        row["check"] = rate.as_dict() if rate and rate.checked else None
        row["items"] = sum(item.language == row["language"] for item in items)
    report["items"] = len(items)
    report["checkers"] = len({check.checker for check in checks})
    write_json(beside(output, "report.json"), report)
    return report


def _language(plan: TranslationPlan, language: str, done: Sequence[Translated]) -> dict[str, Any]:
    mine = [one for one in done if one.wanted.language == language]
    left_out = problems(mine)
    return {
        "language": language,
        "name": language_name(language),
        "questions": plan.questions,
        "wanted": len(mine),
        "sampled": len(mine) < plan.questions,
        "passed": len(mine) - left_out.total(),
        "left_out": dict(left_out.most_common()),
        "identified": can_identify(language),
    }


def rate_text(check: Mapping[str, Any] | None) -> str:
    """The error rate in words: "2 of 20 wrong, 10.0 % (2.8 … 30.1)"."""
    if check is None:
        return "not checked by a person"
    rate, wrong = check["error_rate"], check["fixed"] + check["dropped"]
    return (
        f"{wrong} of {check['checked']} wrong, {100 * rate['value']:.1f} % "
        f"({100 * rate['low']:.1f} … {100 * rate['high']:.1f})"
    )
