"""What a finished stage says about itself: what went in, what ran, what came out. Its presence means done."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from ahalab.errors import UserError
from ahalab.runs.atomic import read_json, write_json
from ahalab.runs.hashing import file_hash

MANIFEST_NAME = "manifest.json"


@dataclass(slots=True)
class Manifest:
    """One stage's manifest. Same `config_hash` and `inputs` = done already. No clock values: see events."""

    stage: str
    kind: str
    """"rl", "evaluate", …"""
    version: int
    """Version of the stage's code: raised whenever the same input would give other output."""
    config_hash: str
    inputs: dict[str, str] = field(default_factory=dict)
    """Content hash of each artifact read, by name."""
    config: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    """`describe_environment()` and what the stage adds: threads, dtype, seed."""
    figures: dict[str, Any] = field(default_factory=dict)
    """The results: the numbers a report shows."""
    stopped: str | None = None
    """Why the stage ended itself early, in words; None when it went through."""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file left for others, by name relative to the stage's folder."""

    def write(self, path: Path) -> None:
        """Write to `path`, or to `manifest.json` in it when it is a folder. Errors as `atomic.write_json`."""
        write_json(_file_of(path), {item.name: getattr(self, item.name) for item in fields(self)})

    @classmethod
    def read(cls, path: Path) -> Self:
        """The manifest in `path` (a file, or a folder that holds `manifest.json`).

        UserError naming the file and the key when it is missing, broken, or holds keys of another version.
        """
        path = _file_of(path)
        content = read_json(path)
        if not isinstance(content, dict):
            raise UserError(f"{path}: a JSON object was expected, found {type(content).__name__}.")
        expected = {item.name: _type_of(str(item.type)) for item in fields(cls)}
        for key in sorted(expected.keys() - content.keys()):
            raise UserError(f"{path}: the key {key!r} is missing. Put the file back as the run wrote it.")
        for key, value in content.items():
            if key not in expected:
                raise UserError(
                    f"{path}: unknown key {key!r}. The file was written by another version or by hand."
                )
            if not isinstance(value, expected[key]):
                raise UserError(f"{path}: the key {key!r} holds {value!r}, a value of the wrong type.")
        return cls(**content)

    def changed_files(self, folder: Path) -> list[str]:
        """Names in `files` whose content in `folder` is gone or is no longer what the stage wrote."""
        return [
            name
            for name, expected in sorted(self.files.items())
            if not (folder / name).is_file() or file_hash(folder / name) != expected
        ]


def _file_of(path: Path) -> Path:
    return path / MANIFEST_NAME if path.is_dir() else path


def _type_of(annotation: str) -> tuple[type, ...]:
    if annotation.startswith("dict"):
        return (dict,)
    return {"str": (str,), "int": (int,), "str | None": (str, type(None))}[annotation]
