"""Shared fixtures: small base models, made once a session, and the command `aha` run in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import ahalab  # noqa: F401  before torch: it keeps idle OpenMP threads from spinning
from small_bases import make_random_base, make_trained_base, write_questions


@dataclass(frozen=True)
class Outcome:
    """How one call of `aha` ended."""

    code: int
    out: str
    err: str


Aha = Callable[..., Outcome]


@pytest.fixture
def aha(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Aha:
    """`aha("run", …)`: the real command in this process."""
    from ahalab.cli.main import main

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["aha", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        out, err = capfd.readouterr()
        return Outcome(0 if code is None else int(code), out, err)

    return call


@pytest.fixture(scope="session")
def trained_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that answers well formed, and right about one time in four."""
    return make_trained_base(tmp_path_factory.mktemp("bases") / "trained")


@pytest.fixture(scope="session")
def random_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that knows nothing."""
    return make_random_base(tmp_path_factory.mktemp("bases") / "random")


@pytest.fixture(scope="session")
def endless_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that never draws its stop token."""
    return make_random_base(tmp_path_factory.mktemp("bases") / "endless", ends=False)


@pytest.fixture(scope="session")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSONL file of questions whose answers are digits from 1 to 4."""
    return write_questions(tmp_path_factory.mktemp("data") / "questions.jsonl")
