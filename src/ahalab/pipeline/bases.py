"""Bundled bases: exporting one with its measured card, and comparing a rebuilt one with the bundled card."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.policy.locate import builtin_folder
from ahalab.runs.atomic import read_json, write_json
from ahalab.runs.folder import RunFolder

RATES = (
    "pass@1",
    "pass@16",
    "reflective_per_answer",
    "reflective_per_1k",
    "thinking_tokens",
    "language_mixing",
    "format",
)
"""The step-0 rates that a card states."""

MODEL_FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)


def export_base(run: RunFolder, folder: Path, name: str) -> None:
    """Write the base built as `builtin:name` as a model folder with `card.json`. An existing folder is replaced.

    Raises:
        UserError: the run is not finished.
    """
    card = _measured(run, name)
    source = run.stage_dir("tiny") / "checkpoint"
    temporary = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for name in MODEL_FILES:
        shutil.copy(source / name, temporary / name)
    write_json(temporary / "card.json", card)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def compare_with_card(run: RunFolder, name: str) -> list[str]:
    """One line per rate: what was measured, and whether it lies within the 95 % interval of `builtin:name`'s card."""
    measured = _measured(run, name)
    path = builtin_folder(name) / "card.json"
    bundled: dict[str, Any] | None = read_json(path) if path.is_file() else None
    lines = []
    for rate in RATES:
        value = measured["rates"][rate]["value"]
        line = f"{rate}: {value:.4g}"
        if bundled is not None:
            line += f" (card: {bundled['rates'][rate]['value']:.4g}{_verdict(measured, bundled, rate)})"
        lines.append(line)
    return lines


def _measured(run: RunFolder, name: str) -> dict[str, Any]:
    built, evaluated = run.finished_stage("tiny"), run.finished_stage("card")
    domains = run.finished_stage("domains")
    if built is None or evaluated is None or domains is None:
        raise UserError(
            f"{run.path}: the base is not built and measured yet; run `aha base build {name}` to the end."
        )
    return {
        "name": f"builtin:{name}",
        "parameters": built.figures["parameters"],
        "vocabulary": built.figures["vocabulary"],
        "documents": built.figures["documents"],
        "build": built.config,
        "seed": built.environment["seed"],
        "environment": built.environment,
        "settings": evaluated.figures["settings"],
        "rates": {rate: evaluated.figures[rate] for rate in RATES},
        "domains": {
            domain: figures["pass@1"] for domain, figures in sorted(domains.figures["by_domain"].items())
        },
    }


def _verdict(measured: dict[str, Any], bundled: dict[str, Any], name: str) -> str:
    if measured["documents"] != bundled["documents"]:
        return ", of a longer build: not to be compared"
    low, high = bundled["rates"][name]["low"], bundled["rates"][name]["high"]
    value = measured["rates"][name]["value"]
    return f" [{low:.4g}, {high:.4g}]: {'within' if low <= value <= high else 'OUTSIDE'}"
