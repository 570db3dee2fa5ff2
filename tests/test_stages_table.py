"""The table stage: hand-made rows give the hand-made table, and rows that cannot be compared are refused."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ahalab.analysis.stage_table import read_stage_table
from ahalab.errors import UserError
from ahalab.evaluation.estimators import bootstrap
from ahalab.stages.context import StageContext, StageResult
from ahalab.stages.inputs import InputRef
from ahalab.stages.table import TableConfig, check_settings, run_table
from ahalab.text.language import language_share
from ahalab.validation import validate
from table_rows import row, scored, write_evaluation


def run(
    tmp_path: Path, rows: Mapping[str, list[dict[str, Any]]], config: Mapping[str, Any] = {}, **settings: Any
) -> tuple[StageResult, dict[str, Any]]:
    """The stage over made-up evaluations; `settings` by row name change its evaluation's config."""
    inputs = {}
    for name, found in rows.items():
        folder = tmp_path / f"eval_{name}"
        if not folder.exists():
            write_evaluation(folder, found, of=name, **settings.get(name, {}))
        inputs[f"rows[{name}]"] = str(folder)
    full = validate(TableConfig, {"rows": {name: f"eval_{name}" for name in rows}, **config}, "table")
    work = tmp_path / "table"
    work.mkdir(exist_ok=True)
    result = run_table(full, StageContext("table", work, inputs, seed=0))
    return result, json.loads((work / "table.json").read_text(encoding="utf-8"))


ZERO = [
    *scored("math", [[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]),
    *scored("code", [[1.0, 1.0]]),
    *scored("instructions", [[0.5, 0.0], [0.5, 0.5]]),
    *scored("safety", [[0.5, 0.0], [1.0, 0.0]]),
]
DEV1 = [
    *scored("math", [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]),
    *scored("code", [[1.0, 0.0]], thinking="我 add"),
    *scored("instructions", [[1.0, 1.0], [0.5, 0.0]]),
    *scored("safety", [[1.0, 1.0], [1.0, 0.5]]),
]


def test_hand_made_rows_give_the_hand_made_table(tmp_path: Path) -> None:
    result, content = run(tmp_path, {"zero": ZERO, "dev1": DEV1}, {"reference": "zero", "orderings": None})
    cells = {
        name: {c: found and found["value"] for c, found in one["cells"].items()}
        for name, one in content["rows"].items()
    }
    assert content["columns"] == [
        "reasoning", "math", "code", "helpfulness", "win_rate", "safe", "rejection", "unsafe", "language_consistency",
    ]  # fmt: skip
    zero, dev1 = cells["zero"], cells["dev1"]
    assert zero["math"] == pytest.approx(0.5)
    assert zero["reasoning"] == pytest.approx((1 + 0.5 + 0 + 1) / 4)
    assert dev1["reasoning"] == pytest.approx((0.5 + 0 + 0.5 + 0.5) / 4)
    assert (zero["safe"], zero["rejection"], zero["unsafe"]) == pytest.approx((0.25, 0.25, 0.5))
    assert (dev1["safe"], dev1["rejection"], dev1["unsafe"]) == pytest.approx((0.75, 0.25, 0.0))
    assert zero["win_rate"] == pytest.approx(0.5)
    # dev1 wins all four pairs of prompt 0; of prompt 1 it has .5 twice level and 0 twice below.
    assert dev1["win_rate"] == pytest.approx((1.0 + 0.25) / 2)
    assert dev1["language_consistency"] == pytest.approx((7 + (language_share("我 add", "en") or 0)) / 8)
    assert content["rows"]["dev1"]["cells"]["math"]["n"] == 3
    assert content["rows"]["dev1"]["cells"]["math"]["k"] == 2
    assert content["prompts"] == {"code": 1, "instructions": 2, "math": 3, "safety": 2}
    assert result.figures["cells"] == {name: one["cells"] for name, one in content["rows"].items()}


def test_differences_are_paired_by_prompt(tmp_path: Path) -> None:
    _, content = run(tmp_path, {"zero": ZERO, "dev1": DEV1[::-1]}, {"orderings": None})
    table = read_stage_table(content, "table.json")
    found = table.difference("dev1", "zero", "reasoning")
    wanted = bootstrap([0.5 - 1, 0 - 0.5, 0.5 - 0, 0.5 - 1], 2)
    assert found is not None
    assert (found.value, found.n) == (pytest.approx(-0.25), 4)
    turned = table.difference("zero", "dev1", "reasoning")
    assert turned is not None
    assert (turned.value, turned.low, turned.high) == (0.25, -found.high, -found.low)  # type: ignore[operator]
    # Order of rows in the file changes only the order of the items, so the interval is of the same kind.
    assert found.low == pytest.approx(wanted.low, abs=0.13)


def test_the_same_evaluations_give_the_same_bytes(tmp_path: Path) -> None:
    run(tmp_path, {"zero": ZERO, "dev1": DEV1}, {"reference": "zero"})
    first = {name: (tmp_path / "table" / name).read_bytes() for name in ("table.json", "table.md")}
    run(tmp_path, {"zero": ZERO, "dev1": DEV1}, {"reference": "zero"})
    assert first == {name: (tmp_path / "table" / name).read_bytes() for name in first}


def test_the_orderings_are_judged_and_counted(tmp_path: Path) -> None:
    rng = random.Random(0)
    good = scored("math", [[1.0, float(rng.random() < 0.9)] for _ in range(60)])
    bad = scored("math", [[0.0, float(rng.random() < 0.3)] for _ in range(60)])
    result, content = run(tmp_path, {"zero": good, "dev1": bad}, {"orderings": "paper"})
    verdicts = {one["name"]: one["verdict"] for one in content["orderings"]}
    assert verdicts["dev1_below_zero"] == "holds"
    assert verdicts["r1_safest"] == "not measured"
    assert result.figures["orderings"] == verdicts
    assert (result.figures["orderings_hold"], result.figures["orderings_measured"]) == (1, 1)
    page = (tmp_path / "table" / "table.md").read_text(encoding="utf-8")
    assert "| mathematics |" in page
    assert "*holds*" in page
    assert "needs the row r1" in page


def test_a_row_that_was_not_graded_somewhere_leaves_that_prompt_out_of_the_pair(tmp_path: Path) -> None:
    ours = scored("math", [[1.0, 1.0], [None, None]])
    theirs = scored("math", [[0.0, 0.0], [1.0, 1.0]])
    _, content = run(tmp_path, {"a": theirs, "b": ours}, {"orderings": None})
    (difference,) = [one for one in content["differences"] if one["column"] == "math"]
    assert (difference["row"], difference["minus"], difference["value"], difference["n"]) == (
        "b",
        "a",
        1.0,
        1,
    )


@pytest.mark.parametrize("key", ["temperature", "k", "max_new_tokens", "template"])
def test_rows_sampled_differently_are_refused_by_key(tmp_path: Path, key: str) -> None:
    changed: Any = "table1" if key == "template" else 1
    with pytest.raises(UserError, match=f"rows zero and dev1 cannot stand in one table: {key} is") as error:
        run(tmp_path, {"zero": ZERO, "dev1": DEV1}, dev1={key: changed})
    assert "same settings" in str(error.value)


def test_rows_of_other_prompts_are_refused_with_the_reason(tmp_path: Path) -> None:
    more = [*DEV1, row("math/9", "math", 1.0)]
    with pytest.raises(UserError, match=r"0 only in the first, 1 only in the second\): the seed or the data"):
        run(tmp_path / "a", {"zero": ZERO, "dev1": more})
    with pytest.raises(UserError, match="their `prompts` differ"):
        run(tmp_path / "b", {"zero": ZERO, "dev1": more}, dev1={"prompts": [{"world": "code"}]})


def test_settings_can_be_checked_before_anything_is_evaluated() -> None:
    check_settings({"a": {"n": 2, "k": 1}, "b": {"n": 2, "k": 1}})
    with pytest.raises(UserError, match="n is 2 and 3, k is 1 and 4"):
        check_settings({"a": {"n": 2, "k": 1}, "b": {"n": 3, "k": 4}})


def test_damaged_or_wrong_folders_are_refused_in_words(tmp_path: Path) -> None:
    write_evaluation(tmp_path / "eval_a", [{"prompt_id": "x", "domain": "math"}])
    with pytest.raises(UserError, match="is not what an evaluate stage writes"):
        run(tmp_path, {"a": []})
    write_evaluation(tmp_path / "eval_b", [])
    with pytest.raises(UserError, match="holds no sample"):
        run(tmp_path, {"b": []})
    with pytest.raises(UserError, match="stage table was expected"):
        read_stage_table([], "x.json")
    with pytest.raises(UserError, match="format 99"):
        read_stage_table({"format": 99, "rows": {}}, "x.json")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"rows": {}}, "rows"),
        ({"rows": {"zero": "e"}, "reference": "zeroo"}, "no row 'zeroo'; did you mean `zero`"),
        ({"rows": {"zero": "e"}, "orderings": ["dev1_below_zer"]}, "did you mean `dev1_below_zero`"),
        ({"rows": {"zero": "e"}, "orderings": "papers"}, "orderings"),
        ({"rows": {"zero": "e"}, "resamples": 10}, "at least 100"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(config: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        validate(TableConfig, config, "recipe")


def test_a_table_reads_evaluations() -> None:
    config = validate(TableConfig, {"rows": {"zero": "eval_zero", "r1": "eval_r1"}}, "recipe")
    assert config.input_refs() == {
        "rows[zero]": InputRef("eval_zero", ("evaluation",)),
        "rows[r1]": InputRef("eval_r1", ("evaluation",)),
    }
