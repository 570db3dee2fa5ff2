"""What a folder is filled with, written down when it is begun and held to ever after."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.runs.atomic import explaining_disk_errors, read_json, write_json
from ahalab.runs.differences import differences, shorten

_ADVICE = "One folder holds answers of one kind: put the setting back, or choose another folder with --output"


def hold(path: Path, stated: Mapping[str, Any], advice: str = _ADVICE) -> None:
    """Write down what `path`'s folder is filled with; the same again is fine.

    Raises:
        UserError: it was begun with something else; names the first key that differs, then and now.
    """
    now = json.loads(json.dumps(dict(stated), allow_nan=False))  # tuples become lists
    if not path.is_file():
        with explaining_disk_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, now)
        return
    for key, then, here in differences(read_json(path), now):
        raise UserError(
            f"{path.parent} was begun with {key} {shorten(then)}, now it is {shorten(here)}. {advice}."
        )
