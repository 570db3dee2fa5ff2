"""Plain data of an operator's file, YAML or JSON: one door with the same limits for policies, terms and reviewers.

A key that stands twice is refused (a list of terms that stood under the first would be gone), as is what no text of the
filter can be: half a surrogate pair.
"""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import yaml

from ahalab.doubles import OneOfEachKey, one_of_each_key
from ahalab.errors import UserError

LARGEST = 16 * 2**20
"""Bytes of a file; our choice. 100,000 terms take some three million."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_plain(path: Path) -> Any:
    """What a YAML file holds, or a JSON file (`.json`).

    Raises:
        UserError: it cannot be read, is too large, is neither, nests too deeply, or a key stands twice.
    """
    text = _text(path)
    try:
        if path.suffix == ".json":
            data = json.loads(text, object_pairs_hook=one_of_each_key)
        else:
            data = yaml.load(text, Loader=OneOfEachKey)  # a safe loader
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path}: is neither YAML nor JSON: {error}") from error
    except RecursionError:
        raise UserError(f"{path}: nests too deeply to be read") from None
    broken = _half_a_character(data)
    if broken:
        raise UserError(
            f"{path}: the text {broken[:40]!a} holds half a surrogate pair, which is no character"
        )
    return data


def _text(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError(f"{path}: is no file")
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > LARGEST:
        raise UserError(f"{path}: has more than {LARGEST:,} bytes, which is too much for a file of this kind")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 ({error.reason} at byte {error.start})") from error


def _half_a_character(data: Any) -> str:
    """The first text with a lone surrogate; "" where there is none. Data may hold itself (YAML's anchors)."""
    seen: set[int] = set()
    todo = [data]
    while todo:
        one = todo.pop()
        if isinstance(one, str):
            if not one.isascii() and _SURROGATE.search(one):
                return one
        elif isinstance(one, dict | list) and id(one) not in seen:
            seen.add(id(one))
            todo += [*one.keys(), *one.values()] if isinstance(one, dict) else one
    return ""
