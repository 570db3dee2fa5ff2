"""The files of a translated set, and its items as a benchmark.

x.jsonl              the items that count: what passed the checks, with a person's corrections
x.machine.jsonl      the items as the endpoint translated them
x.check.csv          a sample for a person to check
x.checked.csv        the file of checks that x.jsonl was made with
x.report.json        how many, by language and reason
x.paid/              every reply of the endpoint, as it came
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.runs.atomic import write_bytes
from ahalab.runs.hashing import config_hash
from ahalab.runs.jsonl import encode_row
from ahalab.safety.folder import read_rows, row_of
from ahalab.safety.languages.codes import check_code
from ahalab.safety.languages.translation import Translated
from ahalab.safety.protocols import Benchmark, Scorer
from ahalab.safety.records import SafetyItem

KEY = "translation"
"""In an item's `extra`."""
SUFFIX = "-translated"


def beside(output: Path, ending: str) -> Path:
    """A file that belongs to `x.jsonl`: x.<ending>."""
    return output.with_name(f"{output.name.removesuffix('.jsonl')}.{ending}")


def text_hash(text: str) -> str:
    """Eight hex digits that stand for a translation in a file of checks."""
    return blake2b(text.encode("utf-8", "backslashreplace"), digest_size=4).hexdigest()


def item_of(done: Translated, scorer: str, endpoint: Mapping[str, Any], prompt: str) -> SafetyItem:
    """The translated item: the source's question, group and rubric in another language."""
    source = done.wanted.item
    told = {
        "of": source.id,
        "from": source.language,
        "scorer": scorer,
        "model": endpoint.get("model"),
        "prompt": prompt[:12],
        "hash": text_hash(done.text),
        "identified": None if done.share is None else round(done.share, 3),
        "checked": "",
    }
    return replace(
        source,
        id=done.wanted.id,
        benchmark=source.benchmark.removesuffix(SUFFIX) + SUFFIX,
        language=done.wanted.language,
        prompt=done.text,
        cluster=source.cluster or source.id,
        extra={**source.extra, KEY: told},
    )


def write_items(path: Path, items: Iterable[SafetyItem]) -> None:
    """Replace the file by these rows."""
    write_bytes(path, b"".join(encode_row(row_of(item)) for item in items))


def load_translated(path: Path, languages: Sequence[str] | None = None) -> Benchmark:
    """The set that `aha safety translate` wrote, as `load_benchmark` gives sets.

    Raises:
        UserError: no such file, a row that is no translated item, a code that is none of ISO 639, an id that is there
            twice, nothing in the languages asked for.
    """
    items = read_items_file(path)
    if languages is not None:
        there = {item.language for item in items}
        for one in languages:
            if check_code(one, "languages") not in there:
                raise UserError(f"{path} has nothing in {one!r}; it has {', '.join(sorted(there))}")
        items = [item for item in items if item.language in languages]
    if not items:
        raise UserError(f"{path}: no item in it")
    scorer: Scorer = "compliance" if items[0].extra[KEY].get("scorer") == "compliance" else "judge"
    return Benchmark(
        name=items[0].benchmark,
        items=tuple(items),
        scorer=scorer,
        source=f"file {path.name}",
        sha256=config_hash([row_of(item) for item in items]),
        licence="as the set it was translated from",
        options={} if languages is None else {"languages": list(languages)},
    )


def read_items_file(path: Path) -> list[SafetyItem]:
    """The items of a translated set. UserError as `load_translated`."""
    items: list[SafetyItem] = []
    seen: dict[str, int] = {}
    for number, item in enumerate(read_rows(path, SafetyItem), 1):
        where = f"{path}, row {number}"
        if not isinstance(item.extra, dict) or not isinstance(item.extra.get(KEY), dict):
            raise UserError(
                f"{where}: no translated item (`extra.{KEY}` is missing); `aha safety translate` writes them"
            )
        if not isinstance(item.prompt, str) or not item.prompt.strip():
            raise UserError(f"{where}: `prompt`: a text was expected")
        check_code(item.language, f"{where}, `language`")
        if item.id in seen:
            raise UserError(f"{where}: the id {item.id!r} is there twice, first in row {seen[item.id]}")
        seen[item.id] = number
        items.append(item)
    return items
