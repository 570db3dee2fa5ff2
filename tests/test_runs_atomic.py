"""Writing aside and renaming, hashing, and what a manifest and an environment say."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahalab.errors import EnvironmentFailure, UserError
from ahalab.runs.atomic import (
    format_size,
    is_disk_full,
    remove_leftovers,
    replace_dir,
    write_bytes,
    write_json,
    write_text,
)
from ahalab.runs.environment import PACKAGES, describe_environment
from ahalab.runs.hashing import canonical_json, config_hash, file_hash, folder_hash
from ahalab.runs.manifest import MANIFEST_NAME, Manifest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_no_leftover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "report.html"
    write_text(path, "old")

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path if failing == "replace" else os, failing, fail)
    with pytest.raises(
        EnvironmentFailure, match=r"disk full .*report\.html: nothing already written was lost"
    ):
        write_bytes(path, b"new" * 1000)
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["report.html"]


def test_a_write_goes_on_where_the_system_took_only_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    write_text(tmp_path / "a", "等等，我检查一下" * 50)
    assert (tmp_path / "a").read_text(encoding="utf-8") == "等等，我检查一下" * 50


def test_a_vanished_folder_and_a_forbidden_one_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EnvironmentFailure, match="is gone"):
        write_text(tmp_path / "gone" / "a", "x")

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UserError, match="Choose a folder you may write to"):
        write_text(tmp_path / "a", "x")


def test_a_full_disk_is_recognised_when_a_library_has_wrapped_it() -> None:
    # The words of safetensors 0.8 on a full tmpfs, and a plain chain.
    assert is_disk_full(
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    )
    wrapped = RuntimeError("could not save")
    wrapped.__cause__ = OSError(errno.EDQUOT, "quota")
    assert is_disk_full(wrapped)
    assert not is_disk_full(OSError(errno.EIO, "input/output error"))


def test_json_with_nan_is_refused_and_a_lone_surrogate_reads_back(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert names(tmp_path) == []
    write_json(tmp_path / "a.json", {"x": "cut \ud83d emoji"})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"x": "cut \ud83d emoji"}


def make(folder: Path, content: str) -> Path:
    folder.mkdir()
    (folder / "a").write_text(content)
    return folder


def test_replacing_a_folder_leaves_only_the_new_one(tmp_path: Path) -> None:
    final = make(tmp_path / "final", "old")
    replace_dir(make(tmp_path / "new", "new"), final)
    assert (final / "a").read_text() == "new"
    assert names(tmp_path) == ["final"]


def test_a_failed_replacement_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final, new = make(tmp_path / "final", "old"), make(tmp_path / "new", "new")
    rename = Path.rename

    def fail_for_new(self: Path, target: Path) -> Path:
        if self == new:
            raise OSError(errno.EIO, "input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_new)
    with pytest.raises(EnvironmentFailure, match="input/output error"):
        replace_dir(new, final)
    assert (final / "a").read_text() == "old"
    assert names(tmp_path) == ["final", "new"]


def test_leftovers_are_removed_and_a_half_replaced_folder_returns(tmp_path: Path) -> None:
    make(tmp_path / ".tmp-replaced-kept", "only copy")
    make(tmp_path / ".tmp-replaced-done", "old")
    make(tmp_path / "done", "new")
    make(tmp_path / ".tmp-step-000003", "half")
    (tmp_path / ".tmp-123-report.html").write_text("half")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["done", "kept"]
    assert (tmp_path / "kept" / "a").read_text() == "only copy"
    assert (tmp_path / "done" / "a").read_text() == "new"
    remove_leftovers(tmp_path / "not there")


def test_sizes_are_given_in_words() -> None:
    assert [format_size(size) for size in (0, 2_400_000, 1_620_000_000)] == ["1 MB", "2 MB", "1.6 GB"]


@given(JSON)
def test_canonical_json_reads_back_and_ignores_the_order_of_keys(value: object) -> None:
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text
    turned = {"b": value, "a": [value]}
    assert config_hash(turned) == config_hash(dict(reversed(turned.items())))


def test_canonical_json_keeps_types_apart_and_refuses_nan() -> None:
    assert len({config_hash(value) for value in (1, 1.0, True, "1", [1], None)}) == 6
    # Hand-made: printf '{"a":"等","b":[1,2.5]}' | sha256sum
    assert canonical_json({"b": [1, 2.5], "a": "等"}) == '{"a":"等","b":[1,2.5]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"x": float("inf")})
    assert config_hash("\ud83d") != config_hash("?")


def test_folder_hash_follows_names_and_contents_only(tmp_path: Path) -> None:
    def tree(name: str, files: dict[str, str]) -> Path:
        for relative, content in files.items():
            path = tmp_path / name / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return tmp_path / name

    one = tree("one", {"a": "1", "sub/b": "2"})
    assert folder_hash(one) == folder_hash(tree("two", {"sub/b": "2", "a": "1"}))
    assert folder_hash(one) != folder_hash(tree("three", {"a": "2", "sub/b": "1"}))
    assert folder_hash(one) != folder_hash(tree("four", {"a": "1", "sub_b": "2"}))
    with_leftovers = tree("five", {"a": "1", "sub/b": "2", ".tmp-7-a": "half", ".tmp-x/c": "half"})
    assert folder_hash(one) == folder_hash(with_leftovers)
    assert folder_hash(one, ["sub", "a"]) == folder_hash(one)
    assert folder_hash(one, ["a"]) != folder_hash(one, ["sub/b"])
    with pytest.raises(UserError, match="missing"):
        folder_hash(one, ["a", "not there"])
    with pytest.raises(UserError, match="not a folder"):
        folder_hash(one / "a")
    with pytest.raises(UserError, match="not a file"):
        file_hash(one)
    # Hand-made: printf 1 | sha256sum
    assert file_hash(one / "a") == "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"


def manifest() -> Manifest:
    return Manifest(
        stage="zero",
        kind="rl",
        version=1,
        config_hash=config_hash({"steps": 2}),
        inputs={"base": "ab"},
        config={"steps": 2},
        environment=describe_environment(),
        figures={"pass@1": {"value": 0.85, "n": 500}},
        stopped="没有有效的组",
    )


def test_a_manifest_reads_back_from_its_file_or_folder(tmp_path: Path) -> None:
    manifest().write(tmp_path)
    assert Manifest.read(tmp_path) == Manifest.read(tmp_path / MANIFEST_NAME) == manifest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "1"}, "'version' holds '1', a value of the wrong type"),
        ({"colour": 1}, "unknown key 'colour'"),
        ({"stage": ...}, "the key 'stage' is missing"),
    ],
)
def test_a_broken_manifest_names_file_and_key(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    manifest().write(tmp_path)
    path = tmp_path / MANIFEST_NAME
    content = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))
    with pytest.raises(UserError, match=f"{MANIFEST_NAME}: .*{message}"):
        Manifest.read(tmp_path)
    path.write_text('{"stage": "ze')
    with pytest.raises(UserError, match=r"manifest\.json is not readable JSON"):
        Manifest.read(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match="missing"):
        Manifest.read(path)


def test_a_manifest_notices_changed_and_missing_files(tmp_path: Path) -> None:
    made = manifest()
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
        made.files[name] = file_hash(tmp_path / name)
    assert made.changed_files(tmp_path) == []
    (tmp_path / "b").write_text("B")
    (tmp_path / "c").unlink()
    assert made.changed_files(tmp_path) == ["b", "c"]


def test_the_environment_is_plain_json_without_clock_or_host_and_repeats() -> None:
    described = describe_environment()
    assert json.loads(canonical_json(described)) == described == describe_environment()
    assert set(described["versions"]) == set(PACKAGES)
    assert described["versions"]["numpy"]
    assert described["cores"] >= 1
    assert os.uname().nodename not in described.values()


def test_the_room_never_imports_torch_or_another_room() -> None:
    script = (
        "import sys, pkgutil, importlib, ahalab.runs\n"
        "for module in pkgutil.iter_modules(ahalab.runs.__path__):\n"
        "    importlib.import_module('ahalab.runs.' + module.name)\n"
        "ahalab.runs.environment.describe_environment()\n"
        "heavy = [name for name in ('torch', 'transformers', 'numpy') if name in sys.modules]\n"
        "rooms = {name.split('.')[1] for name in sys.modules if name.startswith('ahalab.')}\n"
        "sys.exit(str(heavy) if heavy else None if rooms == {'runs', 'errors'} else str(rooms))\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
