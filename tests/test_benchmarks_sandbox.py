"""`benchmarks/sandbox`: its contestants run every program, and count what is wrong."""

from __future__ import annotations

import pytest
from benchmarks import sandbox_contestants
from benchmarks.sandbox_contestants import Plain, Sandbox

from sandbox_tools import need_isolation


def test_the_plain_way_runs_every_program_and_counts_wrong_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    contestant = Plain(runs=3, workers=2)
    assert contestant.run(5) == {"programs": 3, "wrong": 0}
    contestant.close()
    monkeypatch.setattr(sandbox_contestants, "SOURCE", "print(1)")
    contestant = Plain(runs=3, workers=2)
    assert contestant.run(5)["wrong"] == 3
    contestant.close()


def test_ours_runs_every_program_warm_and_cold(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_isolation(request)
    for warm in (True, False):
        with monkeypatch.context() as patch:
            patch.setattr("ahalab.sandbox.pool.open_executor", sandbox_contestants.pool.open_executor)
            contestant = Sandbox(runs=3, workers=2, warm=warm)
            assert contestant.run(5) == {"programs": 3, "wrong": 0}
            contestant.close()
    monkeypatch.setattr(sandbox_contestants, "SOURCE", "print(1)")
    contestant = Sandbox(runs=3, workers=2, warm=True)
    assert contestant.run(5)["wrong"] == 3
    contestant.close()
