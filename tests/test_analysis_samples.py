"""The pass over samples: right rows chosen, sums by hand, memory bounded."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ahalab.analysis import samples as module
from ahalab.analysis.samples import SHOWN_CHARACTERS, find_pair, is_correct, scan_samples, shorten
from synthetic_run import flat_samples, make_run, sample_row, write_rows


def row(**changed: Any) -> dict[str, Any]:
    return {**sample_row(1, 1, 0, 0.0, random.Random(0)), "reflective": {}, "fault": None, **changed}


def test_the_first_right_sample_with_a_reflective_word_is_the_first_in_file_order(tmp_path: Path) -> None:
    write_rows(
        tmp_path / "samples" / "rollout-000001.jsonl",
        [
            row(sample=0, correct=0.0, reflective={"wait": 1}),
            row(sample=1, correct=1.0),
            row(sample=2, correct=None, reflective={"wait": 1}),
            row(sample=3, correct=1.0, reflective={"wait": 2}),
            row(sample=4, correct=1.0, reflective={"wait": 1}),
        ],
    )
    scan = scan_samples(tmp_path, "zero", {1: 0})
    assert scan.first_reflective is not None
    assert (scan.first_reflective.index, scan.first_reflective.step) == (3, 0)


def test_a_prompt_drawn_again_gives_its_first_and_last_sample(tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    for rollout, prompt, correct in ((1, "a", 0.0), (2, "b", 1.0), (3, "a", 0.0), (4, "a", 1.0)):
        rows = [
            row(step=rollout, rollout=rollout, prompt_id=prompt, correct=correct, sample=s) for s in (0, 1)
        ]
        write_rows(folder / f"rollout-{rollout:06d}.jsonl", rows)
    scan = scan_samples(tmp_path, "zero", {n: n - 1 for n in range(1, 5)})
    assert scan.pair is not None
    first, last = scan.pair
    assert (first.prompt_id, first.step, first.correct) == ("a", 0, False)
    assert (last.prompt_id, last.step, last.correct, last.index) == ("a", 3, True, 0)


def test_samples_split_over_updates_are_dated_by_their_rollout(tmp_path: Path) -> None:
    rows = [row(step=step, rollout=1, prompt_id=str(step), correct=1.0) for step in (3, 1, 2)]
    write_rows(tmp_path / "samples" / "rollout-000001.jsonl", rows)
    assert scan_samples(tmp_path, "zero", {1: 0}).right[0].answers == 3
    assert scan_samples(tmp_path, "zero", {1: 0}).pair is None, "one rollout is no then and now"


def test_right_and_wrong_answers_and_faults_are_summed_apart(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=5)
    stage = run / "stages" / "zero"
    scan = scan_samples(stage, "zero", {n: n - 1 for n in range(1, 6)})
    plain = list(flat_samples(stage))
    for step in range(5):
        here = [each for each in plain if each["step"] == step + 1]
        right = [each for each in here if each["correct"] == 1.0]
        assert scan.right[step].answers == len(right)
        assert scan.right[step].reflective == sum(sum(each["reflective"].values()) for each in right)
        assert sum(scan.faults.get(step, {}).values()) == sum(not each["well_formed"] for each in here)
    assert scan.rows == len(plain)


def test_an_ungraded_sample_is_neither_right_nor_wrong(tmp_path: Path) -> None:
    ungraded = row(correct=None, reward={"accuracy": None, "format": 1.0}, error="cpu time-out")
    assert is_correct(ungraded) is None
    write_rows(tmp_path / "samples" / "rollout-000001.jsonl", [ungraded])
    scan = scan_samples(tmp_path, "zero", {1: 0})
    assert (scan.rows, scan.right, scan.wrong) == (1, {}, {})


def test_the_pair_prefers_wrong_to_right_with_a_reflective_word(tmp_path: Path) -> None:
    before = [row(prompt_id=name, correct=correct) for name, correct in (("a", 1.0), ("b", 0.0), ("c", 0.0))]
    after = [
        row(prompt_id="a", correct=1.0, reflective={"wait": 1}),
        row(prompt_id="b", correct=1.0),
        row(prompt_id="c", correct=1.0, reflective={"wait": 1}),
    ]
    write_rows(tmp_path / "before" / "samples" / "shard-000000.jsonl", before)
    write_rows(tmp_path / "after" / "samples" / "shard-000000.jsonl", after)
    stages = (tmp_path / "before", "before"), (tmp_path / "after", "after")
    pair, trouble = find_pair(*stages)
    assert trouble is None
    assert pair is not None
    assert [shown.prompt_id for shown in pair] == ["c", "c"]
    write_rows(tmp_path / "after" / "samples" / "shard-000000.jsonl", after[:2])
    pair, _ = find_pair(*stages)
    assert pair is not None
    assert pair[0].prompt_id == "b"


def test_a_long_text_keeps_its_head_and_its_tail() -> None:
    text = "".join(chr(97 + i % 26) for i in range(10_000))
    head, cut, tail = shorten(text, SHOWN_CHARACTERS)
    assert len(head) + cut + len(tail) == len(text)
    assert text.startswith(head)
    assert text.endswith(tail)
    assert shorten("short", 10) == ("short", 0, "")


def test_fields_of_a_wrong_type_do_not_crash(tmp_path: Path) -> None:
    odd = {
        "step": "1",
        "rollout": None,
        "sample": 0,
        "text": 5,
        "reflective": [1],
        "reward": "x",
        "tokens": "many",
    }
    write_rows(tmp_path / "samples" / "rollout-000001.jsonl", [odd, {}, row()])
    assert scan_samples(tmp_path, "zero", {}).rows == 3


def test_sample_texts_are_streamed_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 MB of texts pass through; what stays is bounded by the tracked prompts and their shortened texts."""

    def rows(_: Path) -> Iterator[dict[str, Any]]:
        for i in range(4_000):
            yield row(step=1 + i // 100, rollout=1 + i // 100, prompt_id=str(i), text="long " * 2_000)

    monkeypatch.setattr(module, "read_samples", rows)
    tracemalloc.start()
    scan = scan_samples(tmp_path, "zero", {})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert scan.rows == 4_000
    assert peak < 5_000_000
