"""The `sft` stage: supervised fine-tuning on worked answers, packed, loss on the reply only.

data sets ─► prompt and reply as RL renders them ─► packed updates, cosine rate ─► `checkpoint/`
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, fsum
from pathlib import Path
from typing import Any

from ahalab.counter import make_key, uniform
from ahalab.errors import UserError
from ahalab.learning.learner import Learner
from ahalab.learning.losses.sft import SFTLoss
from ahalab.learning.outputs import TrainingOutput
from ahalab.policy.load import Policy, load_policy, load_weights, save_policy
from ahalab.records import SupervisedRow
from ahalab.runs.atomic import read_json, write_json
from ahalab.runs.readers import read_metrics
from ahalab.stages.context import StageContext, StageResult
from ahalab.stages.data_entries import check_data, load_rows
from ahalab.stages.datasets import describe_dropped, statistics, write_statistics
from ahalab.stages.epochs import cosine_rate, epoch_batches, run_updates
from ahalab.stages.ledger import Ledger
from ahalab.stages.sft_config import SFTConfig
from ahalab.text.renderer import Renderer

VERSION = 2
"""Raised whenever the same inputs would give other bytes."""

HELD_OUT_NAME = "held_out.json"


def check_sft(config: SFTConfig, context: StageContext) -> None:
    """What can be known before anything is spent: data of one's own, and whether the template fits the model.

    Raises UserError.
    """
    check_data(config.data, context, "rows")
    if "from" in context.inputs:
        _renderer(config, load_policy(context.inputs["from"]))


def run_sft(config: SFTConfig, context: StageContext) -> StageResult:
    """Train; leaves `checkpoint/` (a plain transformers folder plus the optimizer), the logs and `data.json`.

    Raises:
        UserError: a data set cannot be read, is empty, or every row of it is left out.
        Interrupted: Ctrl-C; the state is saved and the same command goes on.
    """
    ledger = Ledger(context.folder)
    try:
        return _Tuner(config, context, ledger).run()
    finally:
        ledger.close()


@dataclass(frozen=True, slots=True)
class Example:
    """One row as token ids; arrays, since a tuple of Python integers takes eight times the memory."""

    question: str
    prompt_ids: array[int]
    reply_ids: array[int]

    @property
    def tokens(self) -> int:
        """Prompt and reply together."""
        return len(self.prompt_ids) + len(self.reply_ids)


def encode_rows(
    rows: Sequence[SupervisedRow], renderer: Renderer, max_tokens: int
) -> tuple[list[Example], dict[str, int]]:
    """The rows as RL would ask and read them, and how many were left out, by reason.

    Left out: a reply with one of the four tags or a stop token inside (it could not be read back), and a row
    of more than `max_tokens` tokens: a cut row would teach to stop in the middle, or not at all.
    """
    examples: list[Example] = []
    dropped: Counter[str] = Counter()
    for row in rows:
        try:
            reply = renderer.reply_ids(row.thinking, row.answer)
        except ValueError as error:
            dropped[str(error)] += 1
            continue
        example = Example(
            row.question, array("i", renderer.prompt_ids(row.question, row.messages)), array("i", reply)
        )
        if example.tokens > max_tokens:
            dropped[f"longer than {max_tokens} tokens"] += 1
        else:
            examples.append(example)
    return examples, dict(dropped)


def split_held_out(
    examples: Sequence[Example], share: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """(trained on, held out): by a hash of the question, so that no question is on both sides.

    Everything is trained on where the share would leave nothing to train on.
    """
    chosen = [uniform(make_key(seed, "held_out", example.question), 0) < share for example in examples]
    if all(chosen):
        return list(examples), []
    train = [example for example, out in zip(examples, chosen, strict=True) if not out]
    return train, [example for example, out in zip(examples, chosen, strict=True) if out]


def _renderer(config: SFTConfig, policy: Policy) -> Renderer:
    return Renderer(
        policy.tokenizer,
        template=config.template,
        think_prefill=config.think_prefill,
        extra_stop_ids=policy.stop_ids,
    )


class _Tuner:
    """What the updates share."""

    def __init__(self, config: SFTConfig, context: StageContext, ledger: Ledger) -> None:
        self.config, self.context, self.ledger = config, context, ledger
        self.policy = load_policy(context.inputs["from"])
        renderer = _renderer(config, self.policy)
        self.rows = load_rows(config.data, context)
        limit = min(config.max_tokens, self.policy.decoder.max_positions or config.max_tokens)
        examples, self.dropped = encode_rows(self.rows, renderer, limit)
        self._say_dropped(len(self.rows))
        if not examples:
            raise UserError(
                f"stages.{context.name}: all {len(self.rows)} rows were left out ({describe_dropped(self.dropped)}), "
                "so there is nothing to learn from. Raise `max_tokens`, or mend the data."
            )
        self.train, self.held_out = split_held_out(examples, config.held_out, context.seed)
        self.batches = epoch_batches(
            len(self.train), config.batch_size, config.epochs, make_key(context.seed, context.name, "sft")
        )
        self.learner = Learner(
            self.policy,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
            tokens_per_chunk=config.tokens_per_chunk,
            logprob_chunk=config.logprob_chunk,
        )

    def run(self) -> StageResult:
        steps = len(self.batches)
        self._write_statistics()
        run_updates(
            self.context,
            self.ledger,
            steps,
            self._update,
            self._write,
            self._load,
            self.config.checkpoint_every,
        )
        after = self._held_out_loss()
        self.ledger.finish()
        # From the file: a process that was killed after the last checkpoint made none of the rows itself.
        *_, last = read_metrics(self.context.folder)
        figures: dict[str, Any] = {
            "rows": len(self.rows),
            "rows_trained": len(self.train),
            "rows_held_out": len(self.held_out),
            "dropped": self.dropped,
            "steps": steps,
            "epochs": self.config.epochs,
            "tokens_per_epoch": sum(example.tokens for example in self.train),
            "loss": last["loss"],
            "held_out_loss_before": read_json(self.context.folder / HELD_OUT_NAME)["loss_before"],
            "held_out_loss": after,
        }
        return StageResult(figures)

    def _update(self, step: int) -> dict[str, Any]:
        if step == 0:
            write_json(self.context.folder / HELD_OUT_NAME, {"loss_before": self._held_out_loss()})
        config = self.config
        outputs = [
            TrainingOutput(tuple(self.train[index].prompt_ids), tuple(self.train[index].reply_ids))
            for index in self.batches[step]
        ]
        rate = cosine_rate(step, len(self.batches), config.learning_rate, config.floor, config.warmup_steps)
        learned = self.learner.update(
            outputs,
            SFTLoss(),
            1.0,
            n_outputs=len(outputs),
            n_tokens=sum(len(output.token_ids) for output in outputs),
            learning_rate=rate,
        )
        # A row's last token is fed to nothing: what is beyond that would be padding.
        needed = sum(len(output.prompt_ids) + len(output.token_ids) - 1 for output in outputs)
        epoch = step // ceil(len(self.train) / config.batch_size) + 1
        return {"epoch": epoch, **learned, "padding_tokens": learned["fed_tokens"] - needed}

    def _held_out_loss(self) -> float | None:
        """Mean negative log-likelihood of the held-out replies' tokens in nats; None where nothing is held out."""
        if not self.held_out:
            return None
        found = self.learner.logprobs([(e.prompt_ids, e.reply_ids) for e in self.held_out], 1.0)
        tokens = sum(len(part) for part in found)
        return -fsum(float(part.double().sum()) for part in found) / tokens

    def _write_statistics(self) -> None:
        def count(text: str) -> int:
            return len(self.policy.tokenizer.encode(text, add_special_tokens=False)) if text else 0

        if not (self.context.folder / "statistics.json").is_file():
            write_statistics(self.context.folder, statistics(self.rows, count))

    def _say_dropped(self, rows: int) -> None:
        if not self.dropped:
            return
        left_out = sum(self.dropped.values())
        self.context.event("dropped_rows", stage=self.context.name, reasons=self.dropped)
        self.context.progress.note(
            f"{self.context.name}: left out {left_out} of {rows} rows ({describe_dropped(self.dropped)})"
        )

    def _write(self, folder: Path) -> None:
        save_policy(self.policy, folder)
        self.learner.save(folder)

    def _load(self, folder: Path) -> None:
        load_weights(self.policy, folder)
        self.learner.load(folder)
