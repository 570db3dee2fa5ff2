"""Work cut into shards, one JSONL file each: the unit that restarts after a kill. A shard's rename makes it one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ahalab.runs.atomic import TEMPORARY_PREFIX
from ahalab.runs.jsonl import JsonlWriter, read_jsonl

SHARD = 50
"""Prompts per shard."""

Item = TypeVar("Item")


def cut(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """`items` in shards of `size`; the last may be smaller."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def shard_path(folder: Path, number: int, prefix: str = "") -> Path:
    """Where shard `number` (from 0) of the shards called `prefix` lies."""
    return folder / f"{prefix}shard-{number:06d}.jsonl"


def is_done(folder: Path, number: int, prefix: str = "") -> bool:
    """Whether the shard was written to its end; a half-written one has another name."""
    return shard_path(folder, number, prefix).is_file()


def write_shard(folder: Path, number: int, rows: Iterable[Mapping[str, Any]], prefix: str = "") -> None:
    """Write a shard aside and rename it. EnvironmentFailure on a full disk."""
    write_whole(shard_path(folder, number, prefix), rows)


def write_whole(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a JSONL file aside and rename it. EnvironmentFailure on a full disk."""
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{path.name}")
    temporary.unlink(missing_ok=True)
    try:
        with JsonlWriter(temporary) as writer:
            for row in rows:
                writer.append(row)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_shard(folder: Path, number: int, prefix: str = "") -> list[dict[str, Any]]:
    """The rows of one shard. UserError where a row is broken or the file is missing."""
    return list(read_jsonl(shard_path(folder, number, prefix)))


def read_shards(folder: Path, prefix: str = "") -> Iterator[dict[str, Any]]:
    """The rows of all shards called `prefix`, in order, read as they are asked for."""
    for path in sorted(folder.glob(f"{prefix}shard-*.jsonl")):
        yield from read_jsonl(path)
