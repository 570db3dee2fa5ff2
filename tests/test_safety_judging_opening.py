"""A judge is opened from a URL or a file; what is none is refused before anything is spent."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.endpoint_server import EndpointServer, endpoint_alone
from tests.judging_tools import case, judge_with, judged, says

from ahalab.errors import UserError
from ahalab.safety.judging.consistency import read_consistency
from ahalab.safety.judging.endpoint import EndpointJudge
from ahalab.safety.judging.opening import open_judge
from ahalab.safety.protocols import judge_hash

__all__ = ["endpoint_alone"]


def test_a_judge_is_opened_from_a_url_and_keeps_what_it_pays_for(tmp_path: Path) -> None:
    with EndpointServer(lambda prompt: says(prompt)) as server:
        judge = open_judge(f"{server.url}#some/model", tmp_path)
        assert list(tmp_path.iterdir()) == []  # a dry run leaves nothing
        assert isinstance(judge, EndpointJudge)
        judged(judge, case())
    name = judge_hash(judge.identity())
    assert (tmp_path / "judges" / name / "paid" / "judge.jsonl").is_file()
    assert server.bodies[0]["model"] == "some/model"
    assert server.bodies[0]["temperature"] == 0.0


def test_a_judge_is_opened_from_a_file_with_rubrics_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "mine"
    own.mkdir()
    bundled = (Path(open_judge.__code__.co_filename).parent / "rubrics" / "D01.yaml").read_text("utf-8")
    (own / "D01.yaml").write_text(
        bundled.replace("What is at stake is whether", "My own words: whether"), "utf-8"
    )
    with EndpointServer(lambda prompt: says(prompt)) as server:
        text = f"url: {server.url}\nmodel: m\nrepeats: 2\nrepeat_share: 1\nrubrics: mine\n"
        (tmp_path / "judge.yaml").write_text(text)
        judge = open_judge(str(tmp_path / "judge.yaml"), tmp_path / "run")
        assert isinstance(judge, EndpointJudge)
        (found,) = judged(judge, case())
    assert "My own words: whether" in server.prompts[0]
    name = judge_hash(judge.identity())
    assert read_consistency(tmp_path / "run" / "judges" / name).cases == 1
    assert found.judge == name
    assert name != judge_hash(judge_with(None, url=server.url, model="m").identity())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gpt", "there is no such judge"),
        ("", "there is no such judge"),
        ("http://127.0.0.1:8000/v1", "the model's name is missing"),
        ("http://127.0.0.1:8000/v1#", "the model's name is missing"),
        ("http://user:word@host/v1#m", "expected a plain address"),
        ("nowhere.yaml", "cannot be read"),
    ],
)
def test_what_is_no_judge_is_refused_and_says_what_is_one(spec: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        open_judge(spec, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("url: http://h/v1\nmodel: m\nwindows: 3\n", "did you mean `window`"),
        ("url: http://h/v1\nmodel: m\noverlap: 4000\n", "at most half of `window`"),
        ("url: http://h/v1\nmodel: m\nlabel_order: random\n", "label_order"),
        ("url: http://h/v1\nmodel: m\nasks: 0\n", "at least 1"),
        ("url: http://h/v1\nmodel: m\nrubrics: none_here\n", "is no folder"),
        ("url: http://h/v1\n", "model"),
        ("- a\n", "expected a mapping"),
        ("a: [", "is no YAML"),
    ],
)
def test_a_broken_judge_file_is_refused_with_its_key(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "judge.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as raised:
        open_judge(str(path), tmp_path)
    assert "judge.yaml" in str(raised.value)


def test_a_missing_key_is_told_before_anything_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    path = tmp_path / "judge.yaml"
    path.write_text("url: http://127.0.0.1:9/v1\nmodel: m\napi_key_env: JUDGE_KEY\n")
    judge = open_judge(str(path), tmp_path)
    assert isinstance(judge, EndpointJudge)
    with pytest.raises(UserError, match="JUDGE_KEY is not set"):
        judge.ready()
