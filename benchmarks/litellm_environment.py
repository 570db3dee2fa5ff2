"""LiteLLM's proxy in an environment of its own, made once and kept, with the settings that its manual asks for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from ahalab.endpoints.addresses import bind

PACKAGE = "litellm[proxy]==1.108.7"
HERE = Path(__file__).resolve().parent
LOGGER = "litellm_logging"
"""The module beside this one that LiteLLM loads."""


def default_folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return cache / "ahalab-bench" / "litellm-1.108.7"


def prepare(folder: Path) -> Path:
    """The folder's Python, with the proxy installed (half a gigabyte; minutes). SystemExit says why it cannot be."""
    ready, python = folder / "ready", folder / "bin" / "python"
    if not ready.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", PACKAGE],
        ):
            found = subprocess.run(command, capture_output=True, text=True, check=False)
            if found.returncode:
                raise SystemExit(f"LiteLLM cannot be installed in {folder}:\n{found.stderr[-2000:]}")
        ready.write_text(PACKAGE + "\n", encoding="utf-8")
    return python


@contextmanager
def proxy(python: Path, upstream: int, scratch: Path, *, logging: bool) -> Iterator[tuple[int, int]]:
    """One worker in front of that port; its port and process id. With `logging` a row before and after each request."""
    name = "logging" if logging else "bare"
    settings: dict[str, object] = {"telemetry": False, "num_retries": 0}
    if logging:
        (scratch / f"{LOGGER}.py").write_text((HERE / f"{LOGGER}.py").read_text("utf-8"), "utf-8")
        settings["callbacks"] = f"{LOGGER}.instance"
    parameters = {"model": "openai/m", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "none"}
    config = scratch / f"{name}.yaml"
    models = [{"model_name": "m", "litellm_params": parameters}]
    config.write_text(yaml.safe_dump({"model_list": models, "litellm_settings": settings}), "utf-8")
    with bind("127.0.0.1", 0, "the benchmark") as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        # Neither side asks for keys here.
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        "LITELLM_BENCHMARK_LOG": str(scratch / "litellm.sqlite"),
        "NO_PROXY": "127.0.0.1",
    }
    command = [str(python.parent / "litellm"), "--config", str(config), "--host", "127.0.0.1"]
    with (scratch / f"{name}.out").open("wb") as said:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--num_workers", "1"],
            stdout=said,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=scratch,
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}/health/liveliness", scratch / f"{name}.out")
        yield port, process.pid
    finally:
        process.kill()  # it may stand still
        process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, said: Path) -> None:
    end = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"LiteLLM did not start:\n{said.read_text('utf-8')[-2000:]}") from None
            time.sleep(0.2)
