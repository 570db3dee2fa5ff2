"""Code data sets read to their one prompt or their refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.records import Prompt
from contest_rows import OWN, load, write


def only(tmp_path: Path, row: Any, **settings: Any) -> Prompt:
    source = load(write(tmp_path / "data.jsonl", row), **settings)
    assert source.size == 1
    return source.prompt(0)


def refusal(tmp_path: Path, row: Any, **settings: Any) -> str:
    with pytest.raises(UserError) as error:
        load(write(tmp_path / "data.jsonl", OWN if row is None else row), **settings)
    return str(error.value)
