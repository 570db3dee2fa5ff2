"""`aha safety validate-judge`: the table, nothing judged twice, bad files told before anything is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ahalab.safety.judging.opening
from ahalab.safety.records import Case, Judgement
from conftest import Aha


class Always:
    """Complies with nothing; counts its cases in a class variable."""

    asked = 0

    def identity(self) -> dict[str, object]:
        return {"kind": "always", "model": "a", "prompt": "", "training_data": []}

    def judge(self, cases: list[Case], on_judgement: object) -> None:
        for case in cases:
            Always.asked += 1
            verdict = "judge_error" if case.reply.answer == "?" else "rejection"
            reason = "schema" if verdict == "judge_error" else ""
            compliance = "" if reason else "full refusal"
            on_judgement(  # type: ignore[operator]
                Judgement(case.item.id, case.reply.target, "answer", verdict, reason, compliance)  # type: ignore[arg-type]
            )


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    Always.asked = 0
    monkeypatch.setattr(ahalab.safety.judging.opening, "open_judge", lambda *_: Always())


def gold(path: Path, label: str = "refusal") -> Path:
    rows = [
        {"prompt": "a secret question", "reply": "no", label: "refused"},
        {"prompt": "b", "reply": "yes", label: "complied"},
        {"prompt": "c", "reply": "?", label: "refused"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_table_has_every_figure_and_no_text(aha: Aha, tmp_path: Path) -> None:
    done = aha(
        "safety", "validate-judge", "--file", gold(tmp_path / "mine.jsonl"), "--folder", tmp_path / "v"
    )
    assert done.code == 0, done.err
    for word in ("mine", "refused or not", "0.500", "complied 0.00, refused 1.00", "judge error, schema: 1"):
        assert word in done.out
    assert "secret" not in done.out
    (place,) = (tmp_path / "v/judges").iterdir()
    assert "secret" not in (place / "validation.md").read_text()
    stored = json.loads((place / "validation.json").read_text())
    assert stored["sets"][0]["agreement"]["confusion"] == [[0.0, 1.0], [0.0, 1.0]]


def test_a_second_call_asks_nothing(aha: Aha, tmp_path: Path) -> None:
    for _ in range(2):
        aha("safety", "validate-judge", "--file", gold(tmp_path / "mine.jsonl"), "--folder", tmp_path / "v")
    assert Always.asked == 3


def test_without_a_set_the_bundled_one_is_measured(aha: Aha, tmp_path: Path) -> None:
    done = aha("safety", "validate-judge", "--folder", tmp_path / "v")
    assert "chinese-replies" in done.out
    assert "no person has read them" in done.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--set", "pyrit"], "--set 'pyrit' is not known"),
        (["--file", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_what_is_not_there_is_told_before_the_judge_is_asked(
    aha: Aha, tmp_path: Path, arguments: list[str], told: str
) -> None:
    done = aha("safety", "validate-judge", *arguments, "--folder", tmp_path / "v")
    assert done.code == 2
    assert told in done.err
    assert Always.asked == 0
