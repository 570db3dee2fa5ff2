"""TRL's side of `grpo_vs_trl`: `GRPOTrainer.train()` in a thread of its own, let through one step at a time."""

from __future__ import annotations

import json
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any

import torch
import transformers
import trl
from datasets import Dataset
from transformers import AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from ahalab.grading.verifiers import VERIFIERS
from ahalab.policy.load import load_policy
from ahalab.text.renderer import Renderer
from benchmarks.grpo_setting import Setting


class _Gate(TrainerCallback):  # type: ignore[misc]
    """Holds the trainer before each step until a round is asked for."""

    def __init__(self) -> None:
        self.asked, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.over = False

    def on_step_begin(self, _args: Any, _state: Any, control: Any, **_: Any) -> Any:
        self.asked.acquire()
        control.should_training_stop = self.over
        return control

    def on_step_end(self, _args: Any, _state: Any, control: Any, **_: Any) -> Any:
        self.done.release()
        return control


class TRLStep:
    """`micro_batch` outputs go through the model at once; `changes` are further arguments of `GRPOConfig`."""

    def __init__(
        self, setting: dict[str, Any], micro_batch: int, dtype: str, changes: dict[str, Any]
    ) -> None:
        given = Setting(**setting)
        self._dtype, self._micro_batch, self._changes = dtype, micro_batch, changes
        tokenizer = AutoTokenizer.from_pretrained(given.folder)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        ours = load_policy(given.base)
        renderer = Renderer(ours.tokenizer, extra_stop_ids=ours.stop_ids)
        del ours
        rows = [json.loads(line) for line in Path(given.prompts).read_text(encoding="utf-8").splitlines()]
        texts = [renderer.prompt_text(row["question"]) for row in rows]
        for row, text in zip(rows, texts, strict=True):
            if tokenizer(text)["input_ids"] != list(renderer.prompt_ids(row["question"])):
                raise ValueError("TRL would read other tokens than ahalab: the comparison would not be fair")
        verify = VERIFIERS[given.verifier]
        self._tokens = 0

        def reward(completion_ids: list[list[int]], answer: list[str], **_: Any) -> list[float]:
            self._tokens = sum(map(len, completion_ids))
            totals = []
            for ids, gold in zip(completion_ids, answer, strict=True):
                finish = "stop" if ids[-1] in renderer.stop_ids else "length"
                response = renderer.parse(renderer.decode(ids), finish)
                right = verify(response.answer, gold, {}) if response.answer else 0.0
                totals.append(float(response.well_formed) * (1.0 + right))
            return totals

        self._folder = tempfile.TemporaryDirectory()
        arguments = {
            "output_dir": self._folder.name,
            "use_cpu": True,
            "bf16": dtype == "bf16-autocast",
            "model_init_kwargs": {"dtype": "bfloat16" if dtype == "bf16" else "float32"},
            "gradient_checkpointing": False,
            "per_device_train_batch_size": micro_batch,
            "gradient_accumulation_steps": given.outputs // micro_batch,
            "num_generations": given.samples_per_prompt,
            "max_completion_length": given.max_new_tokens,
            "temperature": 1.0,
            "top_p": 1.0,
            "top_k": 0,
            "beta": 0.0,
            "epsilon": 0.2,
            "epsilon_high": 0.28,
            "loss_type": "dapo",
            "learning_rate": given.learning_rate,
            "lr_scheduler_type": "constant",
            "max_grad_norm": 1.0,
            "max_steps": 1_000_000,
            "logging_steps": 1_000_000,
            "save_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
            "dataloader_pin_memory": False,
            "shuffle_dataset": False,
            "generation_kwargs": {"eos_token_id": list(renderer.stop_ids)},
            **changes,
        }
        self._gate = _Gate()
        self._trainer = GRPOTrainer(
            model=given.folder,
            reward_funcs=[reward],
            args=GRPOConfig(**arguments),
            train_dataset=Dataset.from_list(
                [{"prompt": text, "answer": row["answer"]} for row, text in zip(rows, texts, strict=True)]
            ),
            processing_class=tokenizer,
            callbacks=[self._gate],
        )
        self._failure: str | None = None
        self._thread = threading.Thread(target=self._train, daemon=True)
        self._thread.start()

    def describe(self) -> dict[str, Any]:
        return {
            "dtype": self._dtype,
            "micro_batch": self._micro_batch,
            **self._changes,
            "trl": trl.__version__,
            "transformers": transformers.__version__,
            "torch": torch.__version__,
        }

    def run(self, _number: int) -> dict[str, Any]:
        self._gate.asked.release()
        while not self._gate.done.acquire(timeout=1.0):
            if self._failure is not None:
                raise RuntimeError(self._failure)
        metrics = self._trainer._metrics["train"]
        figures = {"tokens": self._tokens, "dropped_groups": 0}
        for name, key in (("rewards/reward/mean", "reward"), ("completions/mean_length", "mean_length")):
            if metrics.get(name):
                figures[key] = metrics[name][-1]
        return figures

    def close(self) -> None:
        self._gate.over = True
        self._gate.asked.release()
        self._thread.join(timeout=10)
        self._folder.cleanup()

    def _train(self) -> None:
        try:
            self._trainer.train()
        except BaseException:
            self._failure = traceback.format_exc()
