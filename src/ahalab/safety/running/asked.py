"""The items of an evaluation: gathered from its benchmarks, wrapped where wanted, written down once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.runs.atomic import explaining_disk_errors, write_bytes
from ahalab.runs.hashing import config_hash
from ahalab.runs.held import hold
from ahalab.runs.jsonl import encode_row
from ahalab.safety.folder import ITEMS_NAME, SETTINGS_NAME, open_folder, read_items, row_of
from ahalab.safety.protocols import Benchmark
from ahalab.safety.records import SafetyItem
from ahalab.safety.running.settings import RunSettings

FORMAT = 1
"""Raised when rows or settings change so that a folder begun before could not be gone on with."""

_ADVICE = (
    "One folder holds one set of questions: put the setting back, or choose another folder with --output"
)

Load = Callable[[str, int | None, Sequence[str] | None], Benchmark]
"""(spec, limit, languages) → the set."""
Wrap = Callable[[Sequence[SafetyItem], int], tuple[Sequence[SafetyItem], Mapping[str, Any]]]
"""(harmful items, seed) → the wrapped ones, and what the templates were: counts and hashes."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What every target is asked."""

    items: tuple[SafetyItem, ...]
    benchmarks: tuple[Benchmark, ...]
    held: Mapping[str, Any]
    """What `safety.json` says."""


def gather(settings: RunSettings, load: Load, wrap: Wrap | None = None) -> Asked:
    """Load every set and wrap its harmful questions where that is asked for.

    Raises:
        UserError: as `load` and `wrap`; an id is in two sets; nothing is asked.
    """
    if not settings.plain and not settings.jailbreak:
        raise UserError("aha safety run: --no-plain leaves nothing to ask without --jailbreak")
    benchmarks = tuple(load(spec, settings.limit, settings.languages) for spec in settings.benchmarks)
    items = [item for one in benchmarks for item in one.items]
    wrapped: Sequence[SafetyItem] = ()
    templates: Mapping[str, Any] | None = None
    if settings.jailbreak:
        if wrap is None:
            raise ValueError("jailbreak templates are asked for, but nobody wraps")
        judged = {one.name for one in benchmarks if one.scorer == "judge"}
        wrapped, templates = wrap(
            [item for item in items if item.harmful and item.benchmark in judged], settings.seed
        )
    chosen = [*(items if settings.plain else ()), *wrapped]
    _check_ids(chosen)
    held = {
        "format": FORMAT,
        "benchmarks": [_described(one) for one in benchmarks],
        "jailbreak": dict(templates) if templates is not None else None,
        "plain": settings.plain,
        "languages": settings.languages,
        "limit": settings.limit,
        "seed": settings.seed,
        "items": {"count": len(chosen), "sha256": config_hash([row_of(item) for item in chosen])},
    }
    return Asked(tuple(chosen), benchmarks, held)


def begin(folder: Path, asked: Asked) -> None:
    """Write the items and then the settings; of a folder that was begun, check that they are the same.

    Raises:
        UserError: the folder was begun with something else; names the first difference.
    """
    path = folder / ITEMS_NAME
    if not (folder / SETTINGS_NAME).is_file():
        with explaining_disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_bytes(path, b"".join(encode_row(row_of(item)) for item in asked.items))
    hold(folder / SETTINGS_NAME, asked.held, _ADVICE)
    if config_hash([row_of(item) for item in read_items(folder)]) != asked.held["items"]["sha256"]:
        raise UserError(
            f"{path} was changed after the evaluation began. Put the file back as it was written."
        )


def reopen(folder: Path) -> Asked:
    """What a folder was begun with, for judging it again.

    Raises:
        UserError: it is no safety evaluation, or its files were changed.
    """
    held = open_folder(folder)
    items = tuple(read_items(folder))
    try:
        if held["format"] != FORMAT:
            raise UserError(
                f"{folder}: its format is {held['format']}, this version of ahalab reads {FORMAT}."
            )
        if config_hash([row_of(item) for item in items]) != held["items"]["sha256"]:
            raise UserError(
                f"{folder / ITEMS_NAME} was changed after the evaluation began. Put the file back as it was written."
            )
        benchmarks = tuple(
            Benchmark(
                items=tuple(item for item in items if item.benchmark == row["name"]),
                **{key: value for key, value in row.items() if key != "count"},
            )
            for row in held["benchmarks"]
        )
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{folder / SETTINGS_NAME}: {error} is missing or strange; `aha safety run` wrote no such file"
        ) from error
    return Asked(items, benchmarks, held)


def _described(one: Benchmark) -> dict[str, Any]:
    return {
        "name": one.name,
        "scorer": one.scorer,
        "source": one.source,
        "sha256": one.sha256,
        "licence": one.licence,
        "options": dict(one.options),
        "count": len(one.items),
    }


def _check_ids(items: Sequence[SafetyItem]) -> None:
    if not items:
        raise UserError("aha safety run: no item is left to ask")
    seen: dict[str, str] = {}
    for item in items:
        if item.id in seen:
            raise UserError(
                f"item {item.id} is in {seen[item.id]} and in {item.benchmark}: rows are found by the item's id, so "
                "give these sets folders of their own"
            )
        seen[item.id] = item.benchmark
