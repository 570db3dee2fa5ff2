"""The human check of reward-model data: a blind even sample, agreement by hand-made numbers, spoilt sheets named."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.runs.jsonl import read_jsonl
from ahalab.safety.rewarding import making
from ahalab.safety.rewarding.checking import compare, draw
from rewarding_tools import job_of, run


def made_data(tmp_path: Path) -> Path:
    prompts = [f"question number {number}" for number in range(30)]
    replies = {
        "one": [(one, f"=reply {'harm' if place < 3 else ''} {place}") for place, one in enumerate(prompts)],
        "two": [(one, f"said {'harm' if place % 2 else ''} {place}") for place, one in enumerate(prompts)],
    }
    run(job_of(tmp_path, prompts, replies), tmp_path, tmp_path / "out")
    return tmp_path / "out"


def fill(path: Path, label: Callable[[str, str], str]) -> None:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "label": label(row["id"], row["answer"])} for row in rows)


def test_the_sample_is_blind_even_over_strata_and_in_two_orders(tmp_path: Path) -> None:
    folder = made_data(tmp_path)
    drawn = draw(folder, 16, seed=3)
    assert drawn == {
        "safe · one · en": 5,
        "safe · two · en": 4,
        "unsafe · one · en": 3,
        "unsafe · two · en": 4,
    }
    sheets = []
    for name in ("a", "b"):
        with (folder / f"check/{name}.csv").open(encoding="utf-8-sig", newline="") as file:
            sheets.append(list(csv.DictReader(file)))
    assert sorted(row["id"] for row in sheets[0]) == sorted(row["id"] for row in sheets[1])
    assert [row["id"] for row in sheets[0]] != [row["id"] for row in sheets[1]]
    assert {row["label"] for row in sheets[0]} == {""}
    # A spreadsheet must not take a reply for a formula.
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in sheets[0] for cell in row.values())
    with pytest.raises(UserError, match="holds a sample already"):
        draw(folder, 16, seed=3)


def test_agreement_on_hand_made_labels_and_labels_that_both_correct(tmp_path: Path) -> None:
    folder = made_data(tmp_path)
    draw(folder, 12, seed=3)
    with (folder / "check/a.csv").open(encoding="utf-8-sig", newline="") as file:
        ids = [row["id"] for row in csv.DictReader(file)]
    truth = {
        row["id"]: "safe" if row["safe"] else "unsafe" for row in read_jsonl(folder / "data/labelled.jsonl")
    }
    other = {"safe": "unsafe", "unsafe": "safe"}
    fill(folder / "check/a.csv", lambda one, _: other[truth[one]] if one == ids[0] else truth[one].upper())
    fill(
        folder / "check/b.csv",
        lambda one, _: "" if one == ids[2] else other[truth[one]] if one in ids[:2] else truth[one],
    )
    checked = compare(folder)
    assert (checked.sample, checked.both, checked.missing) == (12, 11, {"a": 0, "b": 1})
    assert checked.between is not None
    assert checked.between.accuracy == pytest.approx(10 / 11)
    assert checked.agreed_otherwise == [ids[0]]
    assert checked.judge is not None
    assert checked.judge.n == 10
    assert checked.judge.weighted
    compare(folder, apply=True)
    summary = making.assemble(folder)
    assert summary["corrected_by_humans"] == 1
    label = {row["id"]: row["safe"] for row in read_jsonl(folder / "data/labelled.jsonl")}[ids[0]]
    assert label == (truth[ids[0]] == "unsafe")
    making.assemble(folder)
    assert compare(folder).agreed_otherwise == [ids[0]]  # the sample remembers the judge's own label


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: [{**rows[0], "label": "saef"}, *rows[1:]], "nearest: 'safe'"),
        (lambda rows: rows[1:], "rows of the sample are missing"),
        (lambda rows: [rows[0], *rows], "stands twice"),
        (lambda rows: [{**rows[0], "id": "who"}, *rows[1:]], "no id of the sample"),
    ],
)
def test_a_spoilt_sheet_is_refused_in_words(tmp_path: Path, change: Callable[..., Any], words: str) -> None:
    folder = made_data(tmp_path)
    draw(folder, 8, seed=0)
    path = folder / "check/b.csv"
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(change(rows))
    with pytest.raises(UserError, match=words):
        compare(folder)
