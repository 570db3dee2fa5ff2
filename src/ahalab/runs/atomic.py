"""Writing so that a reader, or the next process after `kill -9`, sees the old or the new, never half.

Everything is written aside under a name that starts with `.tmp-`, synced, and renamed. A failed write removes
what it had written aside, so a full disk gets its room back. Not promised: two threads writing the same path
at once.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ahalab.errors import AhaError, EnvironmentFailure, UserError

TEMPORARY_PREFIX = ".tmp-"
REPLACED_PREFIX = ".tmp-replaced-"

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in UTF-8; errors as `write_bytes`.

    A lone surrogate (a cut emoji in somebody's data) has no UTF-8 form and is written as `\\udXXX`.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by indented JSON, keys in insertion order; errors as `write_bytes`.

    ValueError for NaN and infinities. Lone surrogates read back the same: `\\udXXX` is legal JSON.
    """
    write_text(path, json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """The value in `path`. UserError naming the file when it is missing or is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing. It was part of the run: put it back, or start a new run folder."
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is not readable JSON ({error}). Put the file back as the run wrote it."
        ) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data`: written aside, synced, renamed, the rename synced. Its folder must exist.

    EnvironmentFailure when the disk is full or the folder has vanished, UserError when writing is not
    allowed; `path` is then as it was.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")
    with explaining_disk_errors(path, len(data)):
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            try:
                write_all(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            temporary.replace(path)
            sync_folder(path.parent)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte of `data`: the system may take fewer at a time, above all on a nearly full disk."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` (creations and renames) survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make every file and name under `folder` survive a power cut."""
    for parent, _, files in os.walk(folder):
        for file in (Path(parent) / name for name in files):
            if file.is_symlink():
                continue
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(parent))


def replace_dir(temporary: Path, final: Path) -> None:
    """Sync `temporary` and rename it to `final`; a folder already there is moved aside, and removed last.

    A kill between the two renames leaves the old folder as `.tmp-replaced-<name>`; `remove_leftovers` puts it
    back. Errors as `write_bytes`; after one, `final` is as it was.
    """
    aside = final.with_name(REPLACED_PREFIX + final.name)
    with explaining_disk_errors(final):
        sync_tree(temporary)
        if final.exists():
            remove_tree(aside)
            final.rename(aside)
        try:
            temporary.rename(final)
        except BaseException:
            if aside.exists() and not final.exists():
                aside.rename(final)
            raise
        sync_folder(final.parent)
        remove_tree(aside)


def remove_tree(path: Path) -> None:
    """Remove a file, a link or a folder with all it holds; nothing to remove is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Undo what killed writers left directly in `folder`: put half-replaced folders back, remove `.tmp-*`.

    Only for whoever holds the run's lock: a living writer's `.tmp-*` looks the same.
    """
    if not folder.is_dir():
        return
    with explaining_disk_errors(folder):
        for aside in sorted(folder.glob(REPLACED_PREFIX + "*")):
            final = folder / aside.name.removeprefix(REPLACED_PREFIX)
            if not final.exists():
                aside.rename(final)
        for leftover in sorted(folder.glob(TEMPORARY_PREFIX + "*")):
            remove_tree(leftover)


@contextmanager
def explaining_disk_errors(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn an OSError inside the block into one clear message; `needed` bytes were to go to `path`."""
    try:
        yield
    except OSError as error:
        raise _explain(error, path, needed) from error


def is_disk_full(error: BaseException | None) -> bool:
    """Whether a full disk (or quota) is behind `error`, also where a library wrapped it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            return True
        # safetensors is written in Rust and reports the system's words, without an errno.
        if os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def disk_full(path: Path, needed: int) -> EnvironmentFailure:
    """The message for a full disk while `needed` bytes were to go to `path`."""
    return EnvironmentFailure(
        f"disk full while writing {path}: nothing already written was lost. "
        f"Free at least {format_size(needed)} there and run the same command; it goes on where it stopped."
    )


def format_size(size: int) -> str:
    """Bytes in words, decimal units, at least 1 MB: "1 MB", "1.6 GB"."""
    megabytes = max(1.0, size / 1e6)
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"


def _explain(error: OSError, path: Path, needed: int) -> AhaError:
    if error.errno in _DISK_FULL:
        return disk_full(path, needed)
    if error.errno in _NOT_ALLOWED:
        return UserError(f"cannot write {path}: {error.strerror}. Choose a folder you may write to.")
    if error.errno == errno.ENOENT:
        return EnvironmentFailure(
            f"cannot write {path}: {error.filename or path.parent} is gone. "
            "Was the run folder moved or deleted? Put it back and run the same command."
        )
    return EnvironmentFailure(
        f"cannot write {path}: {error.strerror or error}. Nothing already written was lost; "
        "once the cause is mended, run the same command and it goes on where it stopped."
    )
