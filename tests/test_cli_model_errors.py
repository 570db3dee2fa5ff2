"""A base that is missing, broken or unfit is named with what is wrong; exit code 2 and nothing written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Aha
from small_runs import small_recipe, training_only, write_recipe


def drop(*names: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return damage


def cut(name: str, size: int) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:size])

    return damage


def configure(**changes: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changes}))

    return damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (drop("config.json"), ["has no config.json, so it is not a model folder"]),
        (cut("model.safetensors", 30_000), ["its weights file", "cut off or damaged", "download the model again"]),
        (cut("model.safetensors", 0), ["cut off or damaged"]),
        (drop("model.safetensors"), ["no file named model.safetensors"]),
        (drop("tokenizer.json", "tokenizer_config.json"), ["holds no tokenizer"]),
        (cut("tokenizer.json", 1000), ["cannot be loaded"]),
        (cut("config.json", 20), ["config.json", "not a valid JSON"]),
        (configure(model_type="unheard-of"), ["model type `unheard-of`"]),
        (configure(num_hidden_layers="x"), ["config.json", "num_hidden_layers"]),
        (configure(num_hidden_layers=2), ["9 are not there or of another shape", "model.layers.1.input_layernorm"]),
        (configure(hidden_size=64), ["of another shape", "model.embed_tokens.weight"]),
        (configure(vocab_size=300), ["of another shape"]),
    ],
)  # fmt: skip
def test_a_broken_model_folder_is_refused_before_anything_is_written(
    aha: Aha,
    trained_base: Path,
    questions: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    words: list[str],
) -> None:
    base = tmp_path / "base"
    shutil.copytree(trained_base, base)
    damage(base)
    recipe = write_recipe(tmp_path / "small.yaml", small_recipe(base, questions))
    done = aha("run", recipe, "--runs", tmp_path / "runs")
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    said = done.err[done.err.index("aha: base") :]
    assert str(base) in said
    for word in words:
        assert word in said
    assert not (tmp_path / "runs").exists()


def test_a_mended_model_folder_runs_under_the_same_command(
    aha: Aha, trained_base: Path, questions: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(trained_base, base)
    cut("model.safetensors", 30_000)(base)
    recipe = write_recipe(tmp_path / "small.yaml", training_only(base, questions, steps=1))
    assert aha("run", recipe, "--runs", tmp_path / "runs").code == 2
    shutil.copy(trained_base / "model.safetensors", base)
    assert aha("run", recipe, "--runs", tmp_path / "runs").code == 0


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("/no/such/folder", ["no such folder", "builtin:tiny"]),
        ("builtin:tny", ["no such bundled base", "`builtin:tiny`"]),
        ("pypi:smollm", ["`pypi:smollm2-135m`"]),
    ],
)
def test_a_missing_base_is_refused(
    aha: Aha, questions: Path, tmp_path: Path, base: str, words: list[str]
) -> None:
    recipe = write_recipe(tmp_path / "small.yaml", small_recipe(base, questions))
    for arguments in (["run", recipe, "--runs", tmp_path / "runs"], ["chat", base]):
        done = aha(*arguments)
        assert done.code == 2, done.err
        for word in words:
            assert word in done.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("stage", ["zero", "before", "after"])
def test_a_chat_template_that_the_model_lacks_is_refused_at_the_start(
    aha: Aha, trained_base: Path, questions: Path, tmp_path: Path, stage: str
) -> None:
    recipe = small_recipe(trained_base, questions)
    next(iter(recipe["stages"][stage].values()))["template"] = "chat"
    done = aha("run", write_recipe(tmp_path / "small.yaml", recipe), "--runs", tmp_path / "runs")
    assert done.code == 2
    assert "template: chat was asked for" in done.err
    assert "has no chat template" in done.err
    assert "Set `template: table1`" in done.err
    assert not (tmp_path / "runs").exists()


def test_a_base_without_any_end_token_is_refused(
    aha: Aha, trained_base: Path, questions: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(trained_base, base)
    for name in ("tokenizer_config.json", "generation_config.json", "config.json"):
        content = json.loads((base / name).read_text())
        (base / name).write_text(
            json.dumps({k: v for k, v in content.items() if k not in ("eos_token", "eos_token_id")})
        )
    done = aha("run", write_recipe(tmp_path / "small.yaml", small_recipe(base, questions)), "--dry-run")
    assert done.code == 2
    assert "names an end token, so replies could never stop" in done.err
