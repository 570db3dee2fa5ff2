"""Training curves for the page: parsed once per state of the file, thinned to what a screen can show."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError
from pathlib import Path
from threading import Lock
from typing import Any

from ahalab.analysis.curves import Curve, Curves, read_curves, share_curve
from ahalab.runs.readers import METRICS_NAME

POINTS = 600
"""Points of a curve at most: more than a chart has pixels is waste (our choice)."""
KEPT = 8
"""Stages whose parsed curves stay in memory."""
PATIENCE_SECONDS = 0.15
"""How long an answer waits for a file to be parsed; after that it gives what is known and says that more comes."""
WORDS = "words/"
EFFECTIVE = "effective_share"
Signature = tuple[int, int, int]

LABELS = {
    "reward": ("Reward", "mean total of the graded samples"),
    "accuracy": ("Accuracy", "share right"),
    "format": ("Format", "share well formed"),
    "language": ("Language consistency", "share of words in the prompt's language"),
    "thinking_tokens": ("Thinking tokens", "mean per answer"),
    "tokens_per_answer": ("Tokens per answer", "mean"),
    "reflective_per_answer": ("Reflective words", "mean per answer"),
    "reflective_per_1k": ("Reflective words per 1,000 tokens", "rate"),
    "language_mixing": ("Language mixing", "share of thinkings"),
    "truncated": ("Truncated", "share at the limit of tokens"),
    "entropy": ("Entropy", "nats per token"),
    "kl": ("KL to the reference", "per token"),
    "grad_norm": ("Gradient norm", "before clipping"),
    EFFECTIVE: ("Effective groups", "share of a rollout's groups"),
    "clip_low": ("Clipped below", "share of tokens"),
    "clip_high": ("Clipped above", "share of tokens"),
    "loss": ("Loss", "per token"),
    "learning_rate": ("Learning rate", ""),
}
"""Column → (label, unit or meaning); another column is called what it is called."""


def label_of(name: str) -> tuple[str, str]:
    """How a curve is called, and its unit."""
    if name in LABELS:
        return LABELS[name]
    if name.startswith(WORDS):
        return f"“{name.removeprefix(WORDS)}”", "per answer"
    if name.startswith("reward/"):
        return f"Reward part: {name.removeprefix('reward/')}", "mean"
    return name.replace("_", " "), ""


class CurveCache:
    """Curves by stage folder. A file that takes long is parsed beside, and the last known curves serve meanwhile."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: OrderedDict[Path, tuple[Signature, Curves]] = OrderedDict()
        self._parsing: dict[Path, tuple[Signature, Future[Curves]]] = {}
        self._worker = ThreadPoolExecutor(1, "curves")

    def get(self, folder: Path) -> tuple[Curves | None, bool]:
        """(curves, whether they are those of the file as it is now); (None, False) while nothing is known yet."""
        signature = signature_of(folder / METRICS_NAME)
        with self._lock:
            known = self._known.get(folder)
            if known and known[0] == signature:
                self._known.move_to_end(folder)
                return known[1], True
            parsing = self._parsing.get(folder)
            if parsing is None:
                parsing = signature, self._worker.submit(read_curves, folder)
                self._parsing[folder] = parsing
        try:
            curves = parsing[1].result(PATIENCE_SECONDS)
        except TimeoutError:
            return (known[1] if known else None), False
        with self._lock:
            self._parsing.pop(folder, None)
            self._known[folder] = parsing[0], curves
            self._known.move_to_end(folder)
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return curves, parsing[0] == signature


def signature_of(path: Path) -> Signature:
    """What changes when a file does; zeros where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return (0, 0, 0)
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def curves_as_json(curves: Curves | None, names: Iterable[str], current: bool) -> dict[str, Any]:
    """The curves asked for, and the names of all there are."""
    if curves is None:
        return {"available": [], "curves": [], "updates": 0, "reading": True, "trouble": None, "truncated": 0}
    known = available(curves)
    shown = [as_json(name, known[name]) for name in names if name in known and len(known[name])]
    return {
        "available": [{"name": name, "label": label_of(name)[0]} for name in known],
        "curves": shown,
        "updates": curves.updates,
        "reading": not current,
        "trouble": curves.trouble,
        "truncated": curves.truncated,
    }


def available(curves: Curves) -> dict[str, Curve]:
    """Every curve by the name it has in addresses; the known ones first, then columns, then words by frequency."""
    found = dict(curves.by_name)
    share = share_curve(EFFECTIVE, curves.get("effective_groups"), curves.get("groups"))
    if share is not None:
        found[EFFECTIVE] = share
    ordered = {name: found[name] for name in LABELS if name in found}
    ordered |= {name: found[name] for name in sorted(found) if name not in ordered}
    return ordered | {f"{WORDS}{curve.name}": curve for curve in curves.top_words(40)}


def as_json(name: str, curve: Curve) -> dict[str, Any]:
    """Thinned, six digits."""
    thin = curve.thinned(POINTS)
    label, unit = label_of(name)
    values = [float(f"{value:.6g}") for value in thin.values]
    return {"name": name, "label": label, "unit": unit, "steps": list(thin.steps), "values": values}
