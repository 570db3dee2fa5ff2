"""The learned numbers of the offline judge, and reading with them: linear heads over dense features and hashed grams.

A head's logits are `bias + dense @ D + grams @ G (+ prompt grams @ P)`; three classes by softmax, two by the logistic
function. numpy only: equality with scikit-learn's prediction on the same weights is a test.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from ahalab.errors import UserError
from ahalab.runs.atomic import write_bytes
from ahalab.runs.hashing import file_hash
from ahalab.safety.offline.features import Floats

WEIGHTS = Path(__file__).with_name("weights.safetensors")
Grams = tuple[NDArray[np.int64], Floats]
FORMAT = "ahalab offline judge 1"


@dataclass(frozen=True, slots=True)
class Head:
    """One linear model. K is the number of its logits: 3, or 1 for two classes."""

    mean: Floats
    """[F] of the dense features"""
    scale: Floats
    """[F] what they are divided by"""
    dense: Floats
    """[F, K]"""
    grams: Floats
    """[2^GRAM_BITS, K], of the reply's grams; [0, K] where the head does not use them"""
    prompt: Floats
    """[2^GRAM_BITS, K], of the prompt's grams; [0, K] likewise"""
    bias: Floats
    """[K]"""

    def logits(self, dense: Floats, grams: Grams | None, prompt: Grams | None) -> Floats:
        """[K] for one reply."""
        total = self.bias + ((dense - self.mean) / self.scale) @ self.dense
        for table, given in ((self.grams, grams), (self.prompt, prompt)):
            if given is not None and len(table):
                places, values = given
                total = total + values @ table[places]
        return total

    def probabilities(self, dense: Floats, grams: Grams | None, prompt: Grams | None) -> Floats:
        """[K], or [2] (of no, of yes) where there is one logit."""
        logits = self.logits(dense, grams, prompt)
        if len(logits) == 1:
            yes = 1 / (1 + np.exp(-np.clip(logits[0], -60, 60)))
            return np.array([1 - yes, yes])
        odds = np.exp(logits - logits.max())
        return np.asarray(odds / odds.sum())


HEADS = ("intent", "compliance", "harm", "informative")
"""Is the prompt's aim harmful · XSTest's classes · is the reply unsafe · does a refusal tell what the risk is."""
_PARTS = ("mean", "scale", "dense", "grams", "prompt", "bias")


@dataclass(frozen=True, slots=True)
class Weights:
    """All heads, the thresholds, and the hash of the file that they came from."""

    heads: dict[str, Head]
    settings: dict[str, Any]
    """`thresholds`, the names of the features, and hashes of rules and inputs."""
    sha256: str = ""


def save_weights(path: Path, weights: Weights) -> None:
    """Written aside and renamed; float32. The same weights give the same bytes."""
    tensors = {
        f"{name}.{part}": np.ascontiguousarray(getattr(head, part), dtype=np.float32)
        for name, head in weights.heads.items()
        for part in _PARTS
    }
    settings = json.dumps({"format": FORMAT, **weights.settings}, sort_keys=True, ensure_ascii=False)
    # One key: safetensors writes several in an order that changes from run to run.
    write_bytes(path, save(tensors, metadata={"settings": settings}))


def load_weights(path: Path = WEIGHTS, names: Sequence[str] = HEADS) -> Weights:
    """Raises UserError where the file is missing or is of another format."""
    digest = file_hash(path)
    try:
        with safe_open(path, framework="numpy") as file:
            settings = json.loads((file.metadata() or {}).get("settings", "{}"))
            if settings.get("format") != FORMAT:
                raise UserError(f"{path}: no weights of this offline judge ({FORMAT})")
            heads = {
                name: Head(**{part: file.get_tensor(f"{name}.{part}").astype(float) for part in _PARTS})
                for name in names
            }
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as safetensors ({error})") from error
    return Weights(heads, settings, digest)


def no_grams(logits: int) -> Floats:
    """The table of a head that does not use grams."""
    return np.zeros((0, logits))
