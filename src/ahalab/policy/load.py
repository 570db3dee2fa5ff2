"""Loading and saving policies: a transformers causal LM, its tokenizer, and the forward over its parameters."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from ahalab.errors import UserError
from ahalab.policy.forward import Decoder, make_decoder
from ahalab.policy.locate import ModelLocation, cache_folder, locate

# Its bars for files of a few megabytes would tear our own progress display.
transformers_logging.disable_progress_bar()
# What it would warn of while loading (weights that are not there) is refused here.
transformers_logging.set_verbosity_error()

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "vocab.txt",
    "tekken.json",
)
"""A model folder holds at least one of them."""


@dataclass(slots=True)
class Policy:
    """A model being trained or sampled. Weights are fp32 (bf16 is an export); `decoder` shares them."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    decoder: Decoder
    name: str

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Tokens that end a reply by the model's own generation config (often a turn end besides the eos)."""
        ids = getattr(self.model.generation_config, "eos_token_id", None)
        return tuple(ids) if isinstance(ids, list) else () if ids is None else (ids,)


def default_device() -> torch.device:
    """A GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def model_folder(base: str) -> str:
    """Folder (or Hugging Face id) from which plain transformers loads `base`; a GGUF base is converted first."""
    location = locate(base)
    return str(_converted(location)) if location.kind == "gguf" else location.path


def load_config(base: str) -> Any:
    """The model's config alone. Raises UserError as `load_policy`."""
    return _load(ModelLocation(base, locate(base).kind, model_folder(base)), AutoConfig)


def load_policy(base: str, device: torch.device | None = None) -> Policy:
    """Load a base by name (see `ahalab.policy.locate`) in fp32.

    Raises:
        UserError: the model cannot be found or its files are broken; says which and what to do.
    """
    location = locate(base)
    if location.kind == "gguf":
        location = ModelLocation(base, "folder", model_folder(base), location.version)
    if location.kind == "folder" and not any(Path(location.path, name).is_file() for name in TOKENIZER_FILES):
        raise UserError(
            f"base {base!r}: {location.path} holds no tokenizer (tokenizer.json and tokenizer_config.json, as "
            "`save_pretrained` writes them). Copy them from the model that this one was made from."
        )
    model, found = _load(
        location,
        AutoModelForCausalLM,
        dtype=torch.float32,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
    )
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    lacking = sorted({*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])} - tied)
    if lacking:
        # transformers would fill them with random numbers and go on.
        raise UserError(
            f"base {base!r}: its weights in {location.path} are not those that its config.json describes: "
            f"{len(lacking)} are not there or of another shape ({', '.join(lacking[:3])}"
            f"{' …' if len(lacking) > 3 else ''}). Copy or download the model again."
        )
    tokenizer = _load(location, AutoTokenizer)
    if tokenizer.eos_token_id is None and model.generation_config.eos_token_id is None:
        raise UserError(
            f"base {base!r}: neither its tokenizer nor its generation config names an end token, so replies "
            "could never stop. Set eos_token in tokenizer_config.json."
        )
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        raise UserError(
            f"base {base!r}: the tokenizer has {len(tokenizer)} tokens but the model only "
            f"{model.get_input_embeddings().weight.shape[0]} embeddings; they do not belong together."
        )
    model = model.to(device or default_device()).eval()
    return Policy(model, tokenizer, make_decoder(model), base)


def save_policy(policy: Policy, folder: Path) -> None:
    """Write what plain `transformers` loads: fp32 safetensors, config, tokenizer. Bytes depend on weights only."""
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)


def load_weights(policy: Policy, folder: Path) -> None:
    """Put the weights saved in `folder` into the policy's own parameters, bit for bit."""
    from safetensors.torch import load_model

    missing, unexpected = load_model(policy.model, str(folder / "model.safetensors"), strict=False)
    # Tied weights are stored once; transformers names them missing.
    tied = set(getattr(policy.model, "all_tied_weights_keys", None) or ())
    if set(missing) - tied or unexpected:
        raise UserError(
            f"{folder}/model.safetensors does not fit this model: missing {sorted(set(missing) - tied)[:3]}, "
            f"unexpected {sorted(unexpected)[:3]}."
        )
    policy.model.tie_weights()


def _load(location: ModelLocation, kind: Any, **options: Any) -> Any:
    try:
        return kind.from_pretrained(location.path, **options)
    except (OSError, ValueError, KeyError, RuntimeError, json.JSONDecodeError) as error:
        reason = _reason(error)
        if location.kind == "hub":
            advice = (
                "Check the id, the connection and, for a gated model, the login (`hf auth login`); "
                "a model folder on this machine works too."
            )
        else:
            advice = "A file in it is missing or broken: save the model again with `save_pretrained`."
        raise UserError(
            f"base {location.base!r} ({location.path}) cannot be loaded: {reason}\n{advice}"
        ) from error
    except Exception as error:
        # Types of their own, without a common base: a value in config.json of the wrong type, a cut-off file.
        if type(error).__name__ == "StrictDataclassFieldValidationError":
            raise UserError(
                f"base {location.base!r}: config.json in {location.path} is broken: {_reason(error)}\n"
                "Copy or download the model again."
            ) from error
        if type(error).__name__ != "SafetensorError":
            raise
        raise UserError(
            f"base {location.base!r}: its weights file in {location.path} is cut off or damaged ({error}). "
            "Copy or download the model again."
        ) from error


def _reason(error: Exception) -> str:
    """The first sentence of a library's message; one that ends in a colon goes on in the next lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    end = 1
    while end < len(lines) and lines[end - 1].endswith((":", ",", "or")):
        end += 1
    return " ".join(lines[:end])


def _converted(location: ModelLocation) -> Path:
    """The GGUF model as an ordinary model folder, made once and cached (about 20 s)."""
    target = cache_folder() / f"{location.base.replace(':', '-')}-{location.version}"
    if (target / "config.json").is_file():
        return target
    path = Path(location.path)
    options = {"gguf_file": path.name}
    inside = ModelLocation(location.base, "folder", str(path.parent))
    quantised = _load(inside, AutoModelForCausalLM, dtype=torch.float32, **options)
    tokenizer = _load(inside, AutoTokenizer, **options)
    # `save_pretrained` refuses a model read from GGUF: its weights go into a plain one of the same config.
    config = type(quantised.config)(**_plain_config(quantised.config))
    model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(quantised.state_dict())
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    model.to(torch.float32).save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    try:
        temporary.rename(target)
    except OSError:  # another process was quicker
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _plain_config(config: Any) -> dict[str, Any]:
    values: dict[str, Any] = config.to_dict()
    values.pop("quantization_config", None)
    values.pop("transformers_version", None)
    return values
