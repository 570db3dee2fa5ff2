"""One way to write JSON for hashing; SHA-256, in lower-case hex, of configurations, files and folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.runs.atomic import TEMPORARY_PREFIX


def canonical_json(value: Any) -> str:
    """The same text for the same value: sorted keys, no spaces. ValueError for NaN and infinities.

    Types count: `1`, `1.0` and `true` are three texts.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))


def config_hash(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "backslashreplace")).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of the bytes of `path`. UserError when there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError(f"{path} is not a file: it was expected to be there to be hashed.") from error


def folder_hash(path: Path, names: Iterable[str] | None = None) -> str:
    """SHA-256 over relative names and contents of the files under `path`; times and owners do not count.

    `names` limits it to these files and folders, relative to `path`; each must exist, and the hash is the
    same in any order. Leftovers of killed writers (`.tmp-*`) never count. UserError when something named is
    missing.
    """
    if not path.is_dir():
        raise UserError(f"{path} is not a folder: it was expected to be there to be hashed.")
    files: set[Path] = set()
    for start in [path] if names is None else [path / name for name in names]:
        if start.is_dir():
            files.update(file for file in start.rglob("*") if file.is_file())
        elif start.is_file():
            files.add(start)
        else:
            raise UserError(f"{start} is missing: it was expected to be there to be hashed.")
    digest = hashlib.sha256()
    for name, file in sorted((file.relative_to(path).as_posix(), file) for file in files):
        if not any(part.startswith(TEMPORARY_PREFIX) for part in name.split("/")):
            # The hash has a fixed length, so no file name can imitate another pair of name and content.
            digest.update(f"{file_hash(file)} {len(name)} {name}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
