"""The language counts against a careful reader: a truth table labelled by hand before the counts were looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.text.language import language_share
from ahalab.text.languages import LANGUAGE_CODES, check_language

DATA = Path(__file__).parent / "data"
LABELS = ("consistent", "mixed", "other", "none")


def read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


ROWS = read("language_truth.jsonl")


def label(share: float | None) -> str:
    """What a share says: at most one word in twenty astray is consistent."""
    if share is None:
        return "none"
    return "consistent" if share >= 0.95 else "other" if share <= 0.05 else "mixed"


def disagreements(rows: list[dict[str, Any]]) -> list[str]:
    found = []
    for row in rows:
        share = language_share(row["text"], row["target"])
        if label(share) != row["label"]:
            shown = "None" if share is None else f"{share:.2f}"
            found.append(f"{row['target']} {row['label']}, counted {shown}: {row['text']!r} ({row['note']})")
    return found


def test_the_table_is_large_varied_and_without_twins() -> None:
    assert len(ROWS) >= 200
    assert len({(row["text"], row["target"]) for row in ROWS}) == len(ROWS)
    counts = Counter((row["target"], row["label"]) for row in ROWS)
    assert set(counts) == {(target, one) for target in ("en", "zh") for one in LABELS}
    assert min(counts.values()) >= 15


def test_the_counts_agree_with_a_careful_reader() -> None:
    found = disagreements(ROWS)
    print("\n".join(found))
    agreement = 1 - len(found) / len(ROWS)
    print(f"{len(ROWS)} snippets, agreement {agreement:.3f}")
    assert agreement >= 0.97, "\n".join(found)


@pytest.mark.parametrize("target", ["en", "zh"])
@pytest.mark.parametrize("one", LABELS)
def test_no_kind_of_snippet_is_counted_badly(target: str, one: str) -> None:
    """A good average must not hide one bad kind."""
    rows = [row for row in ROWS if row["target"] == target and row["label"] == one]
    found = disagreements(rows)
    assert len(found) <= 0.07 * len(rows), "\n".join(found)


def test_shares_of_mixed_snippets_are_those_counted_by_hand_in_words() -> None:
    rows = [row for row in ROWS if "share" in row]
    errors = []
    for row in rows:
        share = language_share(row["text"], row["target"])
        assert share is not None
        errors.append(abs(share - row["share"]))
    assert len(rows) >= 15
    assert max(errors) < 0.12
    assert sum(errors) / len(errors) < 0.05


def test_the_shares_of_both_targets_make_one_where_nothing_else_is_said() -> None:
    for row in ROWS:
        en, zh = (language_share(row["text"], target) for target in ("en", "zh"))
        assert (en is None) == (zh is None)
        if en is not None and zh is not None:
            assert 0 <= en + zh <= 1 + 1e-9


def test_the_core_never_imports_lingua() -> None:
    code = (
        "import sys, ahalab.text, ahalab.rewards.language as r; from ahalab.text.language import language_share;"
        "language_share('so 好', 'en'); print('lingua' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("code", "near"),
    [("jp", "ja"), ("cn", "zh"), ("fra", "fr"), ("EN", "en"), ("Chinese", "zh"), ("xx", ""), ("", "")],
)
def test_an_unknown_language_names_the_nearest(code: str, near: str) -> None:
    with pytest.raises(UserError, match=f"the language '{code}' cannot be counted.*`{near}"):
        check_language(code)


def test_a_language_without_the_extra_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from ahalab.text import languages

    languages._detector.cache_clear()
    monkeypatch.setitem(sys.modules, "lingua", None)
    with pytest.raises(UserError, match=r"prompts in Icelandic \(is\).*pip install 'ahalab\[languages\]'"):
        check_language("is")
    check_language("zh")


def test_languages_of_the_extra_agree_with_a_careful_reader() -> None:
    pytest.importorskip("lingua", reason="needs the extra `languages`")
    rows = read("language_truth_others.jsonl")
    found = disagreements(rows)
    print("\n".join(found), f"\n{len(rows)} snippets, agreement {1 - len(found) / len(rows):.3f}")
    assert len(rows) >= 50
    assert len(found) <= 0.05 * len(rows), "\n".join(found)


def test_every_language_of_lingua_is_known_by_its_code() -> None:
    lingua = pytest.importorskip("lingua", reason="needs the extra `languages`")
    theirs = {one.iso_code_639_1.name.lower(): one.name for one in lingua.Language.all()}
    assert {code: name.upper() for code, name in LANGUAGE_CODES.items()} == theirs


def test_a_long_text_in_another_language_is_counted_in_seconds() -> None:
    import time

    pytest.importorskip("lingua", reason="needs the extra `languages`")
    started = time.process_time()
    for unit in ("d'abord ", "a", "数", "então so 数 "):
        language_share(unit * (30_000 // len(unit)), "fr")
    assert time.process_time() - started < 10.0
