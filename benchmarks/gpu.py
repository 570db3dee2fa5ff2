"""Everything about one GPU in one run of less than 9 minutes, written to one JSON file.

    python -m benchmarks.gpu                    # on an H100 or H200
    PYTHONPATH=src python3 -m benchmarks.gpu    # the same where ahalab is not installed
    python -m benchmarks.gpu --dry-run          # on a CPU, toy sizes, every figure "not measured (dry run)"

Sections: the memory's speed; checks of the GPU's results against plain ones; attention's settings; decoding at batch
256 (SmolLM2-135M's shape) and 64 (Qwen2-1.5B's) at contexts of 512, 1,024 and 2,048, with CUDA graphs and without;
training of Qwen3-0.6B's shape; the GRPO step against TRL's. Weights are random: speed does not depend on them.

Each section runs in a process of its own with a time budget, so that a crash or a hang costs that section's rest and
nothing else. What it has measured until then is kept, and the file is rewritten after each section. Wanted: torch for
CUDA with Triton, transformers, numpy; for the last two sections also ahalab's own requirements, trl and datasets.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
LIMIT_S = 530
"""For the whole run; sections that would begin later are not begun."""
BUDGETS_S = {
    "bandwidth": 30,
    "checks": 60,
    "attention": 60,
    "decode_smollm2": 80,
    "decode_qwen2": 80,
    "training": 120,
    "trl_tiny": 100,
    "trl_smollm2": 100,
}
"""In this order. They add up to more than the limit because most sections need less."""

COMMAND = [sys.executable, "-m", "benchmarks.gpu"]
"""Runs one section, with further options."""

TARGETS: dict[str, tuple[str, float]] = {
    "decode_smollm2": ("share_of_nominal", 0.6),
    "decode_qwen2": ("share_of_nominal", 0.6),
    "training": ("mfu", 0.25),
    "trl_tiny": ("times as quick", 6.0),
    "trl_smollm2": ("times as quick", 6.0),
}
"""Of issue "Fast": the figure to look at and what it should reach."""


def section(name: str) -> Callable[..., None]:
    """The function that runs this section."""
    from benchmarks import gpu_decode, gpu_training

    found: Callable[..., None] | None = getattr(gpu_decode, name, None) or getattr(gpu_training, name, None)
    assert found is not None, name
    return found


def run_section(name: str, path: Path, *, dry: bool, budget: float, earlier: dict[str, Any]) -> None:
    """Run one section here and write `path`: {"status", "seconds", "figures", "error"?}."""
    from benchmarks.gpu_bench import DRY, Bench, OutOfTime, write

    started = time.perf_counter()
    figures_path = path.with_suffix(".figures.json")
    bench = Bench(figures_path, dry=dry, budget=budget, earlier=earlier)
    result: dict[str, Any] = {"status": DRY if dry else "measured"}
    try:
        section(name)(bench)
    except OutOfTime:
        result["status"] = f"stopped at its budget of {budget:.0f} s; what is missing was not measured"
    except Exception:
        result |= {"status": "failed", "error": traceback.format_exc()[-4000:]}
    result |= {"seconds": round(time.perf_counter() - started, 1), "figures": bench.figures}
    write(path, result)


def run_apart(
    name: str, folder: Path, *, dry: bool, budget: float, earlier: dict[str, Any]
) -> dict[str, Any]:
    """Run one section in a process of its own, and end it when it outlives its budget by a quarter."""
    path, earlier_path = folder / f"{name}.json", folder / "earlier.json"
    earlier_path.write_text(json.dumps(earlier), encoding="utf-8")
    command = [*COMMAND, "--section", name, "--out", str(path)]
    command += ["--earlier", str(earlier_path), "--budget", str(budget), *(["--dry-run"] if dry else [])]
    started = time.perf_counter()
    with (folder / f"{name}.log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            command,
            cwd=Path(__file__).resolve().parents[1],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=1.25 * budget + 15)
            how = f"the process ended with code {code}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            how = f"ended after {time.perf_counter() - started:.0f} s: it did not look at its budget"
        if path.exists():
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return found
        log.seek(0)
        figures = path.with_suffix(".figures.json")
        return {
            "status": "failed",
            "error": f"{how}\n{log.read()[-4000:]}",
            "seconds": round(time.perf_counter() - started, 1),
            "figures": json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else {},
        }


def hardware(*, dry: bool) -> dict[str, Any]:
    """The GPU and the versions a figure depends on, asked in a process of its own: this one leaves the GPU alone."""
    versions = {}
    for name in ("torch", "triton", "transformers", "trl", "numpy"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    facts = {"python": platform.python_version(), "date": datetime.date.today().isoformat(), **versions}
    if dry:
        return {"device": "none (dry run)", **facts}
    question = (
        "import json, torch; p = torch.cuda.get_device_properties(0); "
        "print(json.dumps({'device': p.name, 'memory_gb': round(p.total_memory / 1e9, 1), "
        "'processors': p.multi_processor_count, 'cuda': torch.version.cuda}))"
    )
    answer = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise SystemExit(f"no CUDA GPU here (use --dry-run): {answer.stderr.strip()[-500:]}")
    return {**json.loads(answer.stdout.strip().splitlines()[-1]), **facts}


def reached(sections: dict[str, Any]) -> dict[str, Any]:
    """Each target beside the figures that speak to it."""
    result = {}
    for name, (key, wanted) in TARGETS.items():
        figures = sections.get(name, {}).get("figures", {})
        found = {
            way: value[key] if isinstance(value, dict) else value
            for way, value in figures.items()
            if (isinstance(value, dict) and key in value) or way.endswith(key)
        }
        result[name] = {"figure": key, "wanted": wanted, "found": found or "not measured"}
    return result


def file_name(device: str) -> str:
    """`gpu-<hardware>.json`"""
    return f"gpu-{re.sub('[^a-z0-9]+', '-', device.lower()).strip('-')}.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dry-run", action="store_true", help="toy sizes on the CPU")
    parser.add_argument("--only", nargs="+", choices=list(BUDGETS_S), default=list(BUDGETS_S))
    parser.add_argument(
        "--out", type=Path, help="the JSON file; benchmarks/results/gpu-<hardware>.json if left out"
    )
    parser.add_argument("--section", choices=list(BUDGETS_S), help=argparse.SUPPRESS)
    parser.add_argument("--earlier", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--budget", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.section:
        earlier = json.loads(given.earlier.read_text(encoding="utf-8"))
        run_section(given.section, given.out, dry=given.dry_run, budget=given.budget, earlier=earlier)
        return
    everything(given.only, given.out, dry=given.dry_run)


def everything(names: list[str], out: Path | None, *, dry: bool) -> dict[str, Any]:
    """Run the sections one after the other; the file is rewritten after each."""
    started = time.monotonic()
    facts = hardware(dry=dry)
    target = out or RESULTS / file_name("dry-run" if dry else facts["device"])
    target.parent.mkdir(exist_ok=True)
    report: dict[str, Any] = {"benchmark": "gpu", "dry_run": dry, "hardware": facts, "sections": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            left = LIMIT_S - (time.monotonic() - started)
            if left < 20:
                report["sections"][name] = {"status": f"not begun: {LIMIT_S} s were over", "figures": {}}
                continue
            earlier = {known: one["figures"] for known, one in report["sections"].items()}
            budget = min(BUDGETS_S[name], left / 1.25 - 12)
            print(f"{name} (up to {budget:.0f} s) …", file=sys.stderr, flush=True)
            one = run_apart(name, Path(folder), dry=dry, budget=budget, earlier=earlier)
            print(f"  {one['status']}, {one['seconds']} s", file=sys.stderr, flush=True)
            report["sections"][name] = one
            report["targets"] = reached(report["sections"])
            report["seconds"] = round(time.monotonic() - started, 1)
            _write(target, report)
    _write(target, report)
    print(f"{target}\n{json.dumps(report, ensure_ascii=False)}")
    return report


def _write(path: Path, content: dict[str, Any]) -> None:
    aside = path.with_suffix(".tmp")
    aside.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    aside.replace(path)


if __name__ == "__main__":
    main()
