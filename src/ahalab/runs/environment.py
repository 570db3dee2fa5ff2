"""What a run ran on, for its manifests: promise 1 (identical bytes) holds for equal environments only."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("ahalab", "torch", "transformers", "tokenizers", "safetensors", "numpy", "math-verify")


def describe_environment() -> dict[str, Any]:
    """Machine type, processor, usable cores, Python, platform and library versions (None = not installed).

    JSON-able, without host or user names, without clock values, and without importing any of the libraries.
    """
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": _usable_cores(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown"


def _usable_cores() -> int:
    # A container or `taskset` may allow fewer cores than the machine has.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
