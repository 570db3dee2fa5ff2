"""The GPU benchmark: bytes and operations counted right, every section runs dry, no failure costs another section."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks import gpu, gpu_decode, gpu_training
from benchmarks.gpu_bench import DRY, Bench, OutOfTime
from benchmarks.gpu_models import (
    QWEN2_1_5B,
    QWEN3_0_6B,
    SMOLLM2_135M,
    Shape,
    decode_bytes,
    part_number,
    random_model,
    training_flops,
)
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM

SMALL = Shape("llama", hidden=2, layers=1, heads=1, kv_heads=1, head_dim=2, inner=3, vocabulary=5)
WITHOUT_PEERS = [name for name in gpu.BUDGETS_S if not name.startswith("trl")]


def test_bytes_of_a_decoding_step_on_hand_made_numbers() -> None:
    # Query, key, value, output 2×2 each; gate, up, down 2×3 each; head 5×2.
    assert SMALL.layer_weights == 4 * 4 + 3 * 6
    assert SMALL.head_weights == 10
    # Two bytes a number; keys and values of width 2 in one layer: 8 bytes a token.
    assert SMALL.kv_bytes_per_token == 8
    assert decode_bytes(SMALL, rows=3, context=10) == 2 * (34 + 10) + 3 * 10 * 8


def test_operations_of_training_on_hand_made_numbers() -> None:
    products = 6 * 44 * 4
    # A document of 3 tokens has 6 causal pairs, one of 1 token 1; each pair costs 12 operations a width of 2.
    assert training_flops(SMALL, [3, 1]) == products + 12 * 2 * (6 + 1)


def test_operations_of_the_products_are_what_torch_counts() -> None:
    shape = QWEN3_0_6B.toy()
    model = random_model(shape, torch.float32, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        model(input_ids=torch.arange(24)[None], use_cache=False).logits.sum().backward()
    counted = counter.get_flop_counts()["Global"]
    products = sum(count for op, count in counted.items() if "mm" in str(op) and "bmm" not in str(op))
    attention = training_flops(shape, [24]) - 6 * (shape.layer_weights + shape.head_weights) * 24
    assert products == training_flops(shape, [24]) - attention


@pytest.mark.parametrize(("shape", "millions"), [(SMOLLM2_135M, 135), (QWEN2_1_5B, 1544), (QWEN3_0_6B, 596)])
def test_the_shapes_are_those_of_the_named_models(shape: Shape, millions: int) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**shape.config()))
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == millions
    matrices = sum(p.numel() for p in model.parameters() if p.dim() == 2)
    assert matrices == shape.layer_weights + shape.head_weights


def test_documents_fill_their_rows() -> None:
    lengths = gpu_training.packed_lengths(gpu_training.ROWS_PER_STEP, gpu_training.ROW)
    assert sum(lengths) == gpu_training.ROWS_PER_STEP * gpu_training.ROW >= 16_384
    assert max(lengths) <= 2048
    assert len(lengths) > 24
    assert len({*lengths}) > 20


def test_only_parts_whose_datasheet_is_known_have_a_peak() -> None:
    assert part_number("NVIDIA H100 80GB HBM3") == "H100"
    assert part_number("NVIDIA H200") == "H200"
    assert part_number("NVIDIA A10") is None
    assert gpu.file_name("NVIDIA H100 80GB HBM3") == "gpu-nvidia-h100-80gb-hbm3.json"


class Honest(Bench):
    """Keeps what a dry run would hide."""

    def measured(self, value: Any) -> Any:
        return value


def test_the_checks_hold_on_the_cpu(tmp_path: Path) -> None:
    bench = Honest(tmp_path / "checks.json", dry=True, budget=200)
    gpu_training.checks(bench)
    assert len(bench.figures) == 14
    for name, found in bench.figures.items():
        assert found["ok"], (name, found)
    # The checks can fail: rounding is seen.
    assert bench.figures["bf16 log-probs against fp32 (nats, mean)"]["error"] > 1e-5


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for one in value.values() for leaf in leaves(one)]
    return [leaf for one in value for leaf in leaves(one)] if isinstance(value, list) else [value]


@pytest.mark.parametrize("name", WITHOUT_PEERS)
def test_a_dry_section_runs_and_marks_every_figure(name: str, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    gpu.run_section(name, path, dry=True, budget=200, earlier={})
    found = json.loads(path.read_text())
    assert found["status"] == DRY, found.get("error")
    assert DRY in leaves(found["figures"])
    assert "failed" not in json.dumps(found["figures"])
    counted = {
        "must_read_bytes", "mean_context", "rows", "documents", "tokens_per_step", "flops_per_step", "bound",
    }  # fmt: skip
    for way, value in found["figures"].items():
        for key, figure in value.items() if isinstance(value, dict) else [(way, value)]:
            if key.partition(",")[0] not in counted:
                assert not any(isinstance(leaf, (int, float)) for leaf in leaves(figure)), (way, key)


def test_a_dry_run_writes_one_file_through_processes_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "dry.json"
    gpu.everything(["bandwidth"], out, dry=True)
    written = json.loads(out.read_text())
    assert written == json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert written["dry_run"] is True
    assert written["hardware"]["device"] == "none (dry run)"
    assert written["sections"]["bandwidth"]["status"] == DRY
    assert written["targets"]["training"] == {"figure": "mfu", "wanted": 0.25, "found": "not measured"}


def apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, budget: float = 5) -> dict[str, Any]:
    """Run a stand-in for a section; `figures` in the script is the file that a section keeps up to date."""
    begin = "import os, sys; figures = sys.argv[4].replace('.json', '.figures.json'); "
    monkeypatch.setattr(gpu, "COMMAND", [sys.executable, "-c", begin + script])
    return gpu.run_apart("bandwidth", tmp_path, dry=True, budget=budget, earlier={})


def test_a_section_that_crashes_leaves_its_figures_and_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = "open(figures, 'w').write('{\"first\": 1}'); print('CUDA error: illegal address', flush=True); os.abort()"
    found = apart(monkeypatch, tmp_path, script)
    assert found["status"] == "failed"
    assert found["figures"] == {"first": 1}
    assert "illegal address" in found["error"]
    assert "code -6" in found["error"]


def test_a_section_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = apart(monkeypatch, tmp_path, "import time; time.sleep(600)", budget=-10)
    assert found["status"] == "failed"
    assert "did not look at its budget" in found["error"]


def test_a_section_stops_itself_at_its_budget_and_keeps_what_it_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def slow(bench: Bench) -> None:
        bench.put("first", 1)
        bench.check_time()

    monkeypatch.setattr(gpu, "section", lambda _: slow)
    gpu.run_section("bandwidth", tmp_path / "out.json", dry=True, budget=-1, earlier={})
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["status"].startswith("stopped at its budget")
    assert found["figures"] == {"first": 1}
    with pytest.raises(OutOfTime):
        Bench(tmp_path / "x.json", dry=True, budget=-1).seconds(lambda: None)


def test_every_section_has_its_function_and_the_targets_name_sections() -> None:
    for name in gpu.BUDGETS_S:
        assert callable(gpu.section(name))
    assert gpu.TARGETS.keys() <= gpu.BUDGETS_S.keys()
    assert sum(gpu.BUDGETS_S[name] for name in WITHOUT_PEERS) < gpu.LIMIT_S


def test_targets_stand_beside_what_was_found() -> None:
    figures = {"graphs, context 512": {"share_of_nominal": 0.7}, "rows": 256, "draw_ms": 0.1}
    found = gpu.reached({"decode_smollm2": {"figures": figures}})["decode_smollm2"]
    assert found == {"figure": "share_of_nominal", "wanted": 0.6, "found": {"graphs, context 512": 0.7}}


def test_attention_settings_to_try_are_all_different() -> None:
    tried = gpu_decode.settings_to_try()
    assert len(tried) == len({tuple(one.items()) for one in tried}) == 12
