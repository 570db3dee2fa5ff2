"""The index of samples: every row once, at its place, also as files grow, are cut, rewritten or broken."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ahalab.dashboard.api import Dashboard
from ahalab.dashboard.catalog import Catalog
from ahalab.dashboard.filters import parse_filter
from ahalab.dashboard.index import Index, forget_gone_runs
from ahalab.dashboard.query import Search
from dashboard_tools import append_rows, look_again, rollout, samples_of, small_dashboard, small_run
from synthetic_run import flat_samples


def rows_on_disk(run: Path) -> list[tuple[str, dict[str, Any]]]:
    """(stage, row) of every sample in the order in which people read them."""
    return [
        (stage, row) for stage in ("before", "zero", "after") for row in flat_samples(run / "stages" / stage)
    ]


def drawn(row: dict[str, Any]) -> int:
    """Updates made before the sample was drawn."""
    return max(0, row["step"] - 1)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return small_run(tmp_path / "runs" / "small")


@pytest.fixture
def dashboard(run: Path, tmp_path: Path) -> Dashboard:
    return small_dashboard(run, cache=tmp_path / "cache")


def test_every_sample_is_found_once_and_in_order(dashboard: Dashboard, run: Path) -> None:
    found = [(one["stage"], one["step"], one["prompt"], one["sample"]) for one in samples_of(dashboard)]
    assert found == [(stage, drawn(row), row["prompt_id"], row["sample"]) for stage, row in rows_on_disk(run)]
    newest = samples_of(dashboard, order="newest")
    assert [one["key"] for one in reversed(newest)] == [one["key"] for one in samples_of(dashboard)]


@pytest.mark.parametrize(
    "query",
    [
        {"stage": "zero"},
        {"stage": "before,after"},
        {"verdict": "right"},
        {"verdict": "wrong", "stage": "zero"},
        {"word": "wait"},
        {"word": "however", "verdict": "wrong"},
        {"word": "never seen"},
        {"domain": "math"},
        {"domain": "poetry"},
        {"from": "3", "to": "5", "stage": "zero"},
        {"min": "1.5"},
        {"max": "0"},
        {"min": "1", "max": "1"},
        {"q": "LET ME CHECK"},
        {"q": "guess was wrong", "verdict": "right"},
        {"q": 'no such "text"'},
        {"prompt": "world/0000000000000001"},
    ],
    ids=lambda query: "&".join(f"{key}={value}" for key, value in query.items()),
)
@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_filters_equal_a_plain_pass_over_the_files(
    dashboard: Dashboard, run: Path, query: dict[str, str], order: str
) -> None:
    def fits(stage: str, row: dict[str, Any]) -> bool:
        right = row["correct"] is not None and row["correct"] >= 1
        wanted = query.get
        return (
            (stage in query["stage"].split(",") if "stage" in query else True)
            and wanted("verdict") in (None, "right" if right else "wrong")
            and ("word" not in query or query["word"] in row["reflective"])
            and wanted("domain") in (None, row["domain"])
            and int(wanted("from", "0")) <= drawn(row) <= int(wanted("to", "99"))
            and float(wanted("min", "-9")) <= row["total"] <= float(wanted("max", "9"))
            and ("q" not in query or query["q"].lower() in row["text"].lower())
            and wanted("prompt") in (None, row["prompt_id"])
        )

    expected = [
        (s, drawn(row), row["prompt_id"], row["sample"]) for s, row in rows_on_disk(run) if fits(s, row)
    ]
    found = [
        (one["stage"], one["step"], one["prompt"], one["sample"])
        for one in samples_of(dashboard, order=order, **query)
    ]
    assert found == (expected if order == "oldest" else expected[::-1])
    if "q" not in query:
        assert dashboard.count(query) == {"count": len(expected), "next": None}


def test_a_search_without_time_goes_on_where_it_stopped(dashboard: Dashboard, run: Path) -> None:
    with dashboard.indexer.index(run).read() as connection:
        folders = {name: run / "stages" / name / "samples" for name in ("before", "zero", "after")}
        for query in ({"q": "wait"}, {"word": "wait"}, {}):
            search = Search(connection, folders, parse_filter(query, list(folders)))
            keys: list[int] = []
            after, looked, rounds = None, 0, 0
            while True:
                found = search.find(3, after, budget=0.0)
                keys += [hit.key for hit in found.hits]
                looked, rounds, after = looked + found.looked, rounds + 1, found.next
                if after is None:
                    break
            whole = search.find(10_000, None, budget=60.0)
            assert rounds > 3
            assert keys == [hit.key for hit in whole.hits]
            if not query:
                assert looked == len(rows_on_disk(run))


def test_a_growing_file_is_read_on_from_its_end_and_a_half_written_row_waits(
    dashboard: Dashboard, run: Path
) -> None:
    path = run / "stages" / "zero" / "samples" / "rollout-000012.jsonl"
    before = samples_of(dashboard, stage="zero")
    rows = rollout(12, prompts=1, seed=5)
    append_rows(path, rows[:1])
    half = json.dumps(rows[1])[:60]
    with path.open("a", encoding="utf-8") as file:
        file.write(half)
    look_again(dashboard)
    assert len(samples_of(dashboard, stage="zero")) == len(before) + 1
    assert [one["truncated"] for one in dashboard.facets({})["stages"] if one["stage"] == "zero"] == [1]
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(rows[1])[60:] + "\n")
    look_again(dashboard)
    after = samples_of(dashboard, stage="zero")
    assert [one["key"] for one in after[: len(before)]] == [one["key"] for one in before]
    assert len(after) == len(before) + 2
    assert dashboard.facets({})["index"]["share"] == 1


def test_a_file_that_a_resume_rewrote_is_indexed_again(dashboard: Dashboard, run: Path) -> None:
    path = run / "stages" / "zero" / "samples" / "rollout-000005.jsonl"
    old = path.read_bytes()
    # As long as before and longer: neither size nor growth may be trusted.
    for seed, more in ((2, 0), (3, 4)):
        rows = rollout(5, prompts=3 + more, seed=seed)
        path.unlink()
        append_rows(path, rows)
        assert path.read_bytes() != old
        look_again(dashboard)
        found = samples_of(dashboard, stage="zero", **{"from": "4", "to": "4"})
        assert [(one["prompt"], one["total"]) for one in found] == [
            (row["prompt_id"], row["total"]) for row in rows
        ]


def test_files_that_are_gone_leave_the_index_and_a_finished_stage_stays(
    dashboard: Dashboard, run: Path
) -> None:
    folder = run / "stages" / "zero"
    (folder / "samples" / "rollout-000012.jsonl").unlink()
    look_again(dashboard)
    keys = [one["key"] for one in samples_of(dashboard, stage="zero")]
    assert len(keys) == 11 * 6
    folder.rename(run / "stages" / "zero.partial")
    look_again(dashboard)
    assert [one["key"] for one in samples_of(dashboard, stage="zero")] == keys


def test_broken_rows_are_counted_and_named_and_the_others_are_shown(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    samples = run / "stages" / "zero" / "samples"
    path = samples / "rollout-000002.jsonl"
    good = path.read_text(encoding="utf-8").splitlines()
    path.write_bytes(b"\xef\xbb\xbf" + "\n".join([good[0], "not json", "[1, 2]", good[1], ""]).encode())
    (samples / "rollout-000003.jsonl").write_bytes("\n".join(good).encode("utf-16"))
    (samples / "rollout-000004.jsonl").write_bytes(b"")
    deep = "[" * 100_000
    (samples / "rollout-000006.jsonl").write_text(f'{{"step": {deep}\n{good[0]}\n', encoding="utf-8")
    dashboard = small_dashboard(run, cache=tmp_path / "cache")
    assert len(samples_of(dashboard, stage="zero")) == 8 * 6 + 2 + 1
    zero = next(one for one in dashboard.facets({})["stages"] if one["stage"] == "zero")
    assert zero["broken"] >= 4
    notices = " ".join(dashboard.run({})["notices"])
    assert "Stage zero" in notices
    assert "rollout-000002.jsonl, row 2" in notices


def test_rows_of_somebody_else_are_shown_with_what_they_have(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    rows = [{"question": "2+2?", "text": "Wait, 4."}, {"text": 7, "reflective": "none", "step": "x"}, {}]
    append_rows(run / "stages" / "zero" / "samples" / "foreign.jsonl", rows)
    dashboard = small_dashboard(run, cache=tmp_path / "cache")
    found = samples_of(dashboard, verdict="ungraded")
    assert [one["words"] for one in found] == [1, 0, 0]
    for one in found:
        assert dashboard.sample({"key": one["key"]})["reward"] == []
    assert [one["question"] for one in samples_of(dashboard, word="wait", verdict="ungraded")] == ["2+2?"]


def test_more_words_than_bits_are_still_told_apart(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", samples=0, evaluations=False)
    rows = [
        {"step": 1, "rollout": 1, "domain": f"d{i}", "text": "x", "reflective": {f"word{i}": 1}}
        for i in range(400)
    ]
    append_rows(run / "stages" / "zero" / "samples" / "rollout-000001.jsonl", rows)
    dashboard = small_dashboard(run, cache=tmp_path / "cache")
    for name in ("0", "61", "62", "63", "200", "399"):
        assert [one["domain"] for one in samples_of(dashboard, word=f"word{name}")] == [f"d{name}"]
        assert [one["domain"] for one in samples_of(dashboard, domain=f"d{name}")] == [f"d{name}"]


def test_the_index_lies_in_the_cache_and_the_run_folder_is_not_touched(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in sorted(run.rglob("*"))}
    dashboard = small_dashboard(run, cache=tmp_path / "cache")
    samples_of(dashboard)
    dashboard.run({})
    dashboard.tables({})
    assert {path: path.stat().st_mtime_ns for path in sorted(run.rglob("*"))} == before
    assert [path.suffix for path in (tmp_path / "cache").glob("*.sqlite")] == [".sqlite"]


def test_a_broken_index_and_one_of_another_version_are_made_again(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    index = Index.of(run, tmp_path / "cache")
    wanted = len(rows_on_disk(run))
    for spoil in (b"not a database at all " * 400, b""):
        index.remove()
        index.path.parent.mkdir(exist_ok=True)
        index.path.write_bytes(spoil)
        assert len(samples_of(small_dashboard(run, cache=tmp_path / "cache"))) == wanted
    connection = index.open_to_write()
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert len(samples_of(small_dashboard(run, cache=tmp_path / "cache"))) == wanted


def test_indexes_of_runs_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    kept, gone = small_run(tmp_path / "kept"), small_run(tmp_path / "gone")
    small_dashboard(kept, gone, cache=tmp_path / "cache")
    os.rename(gone, tmp_path / "elsewhere")  # noqa: PTH104
    assert forget_gone_runs(tmp_path / "cache") == 1
    assert [path.stem for path in (tmp_path / "cache").glob("*.sqlite")] == [
        Index.of(kept, tmp_path).path.stem
    ]


def test_nothing_can_be_asked_of_a_run_that_is_not_indexed_yet_but_that_is_no_error(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    dashboard = Dashboard(Catalog([run]), tmp_path / "cache")
    assert dashboard.samples({})["samples"] == []
    assert dashboard.samples({})["index"]["looked"] is False
    assert dashboard.count({}) == {"count": 0, "next": None}
    assert dashboard.prompt({})["suggested"] == []
