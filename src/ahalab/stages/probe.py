"""The causal probe: cut finished thinkings before their first reflective word and go on with and without it (ours).

DIR/probe.json · probe.md             the figures, and the same as a table
    settings.json                     what decides the rows
    samples/drawn-shard-000000.jsonl  fresh samples, where no finished ones were given
    samples/shard-000000.jsonl        a row a continuation
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from ahalab import __version__
from ahalab.errors import Interrupted, UserError
from ahalab.evaluation.probe import ARMS, markdown, probe_figures
from ahalab.grading.pool import GraderPool
from ahalab.policy.load import Policy, load_policy
from ahalab.policy.locate import fingerprint
from ahalab.records import FinishReason, GradeRequest, Prompt, Response, Verdict
from ahalab.rewards.functions import GENERAL_VERIFIERS
from ahalab.rollout.embedded import EmbeddedEngine
from ahalab.rollout.engine import PromptTokens, RolloutKey, Sampling
from ahalab.runs.atomic import remove_leftovers, write_json, write_text
from ahalab.runs.held import hold
from ahalab.runs.lock import RunLock
from ahalab.runs.progress import Progress, SilentProgress
from ahalab.sandbox.settings import SandboxSettings
from ahalab.stages.context import Interrupt
from ahalab.stages.isolation import LOOKED_AT, check_isolation
from ahalab.stages.probe_cut import Cut, Uncut, cut_sample, forbidden_tokens
from ahalab.stages.probe_source import Source
from ahalab.stages.shards import cut as cut_shards
from ahalab.stages.shards import is_done, read_shards, write_shard
from ahalab.stages.suites.folder import SETTINGS_NAME
from ahalab.text.reflection import ReflectiveWords, count_reflective, first_reflective, load_reflective_words
from ahalab.text.renderer import Renderer
from ahalab.validation import StrictModel

SHARD = 10
"""Prompts of a shard, the unit that a kill costs (our choice: 240 continuations of 8 an arm)."""
DRAWN_SHARD = 50
DRAWN_SAMPLES = 4
"""Fresh samples of each prompt (our choice): the first with a reflective word is probed."""
ROUNDS = 8
"""Draws, at most, for a continuation of "without" that begins with no reflective word (our choice)."""
DRAWN = "drawn-"
REPORT_NAME = "probe.json"
MARKDOWN_NAME = "probe.md"
FORMAT = 1


class ProbeConfig(StrictModel):
    """The settings of `aha probe`."""

    n: Annotated[int, Field(ge=1)] = Field(200, description="Prompts to probe at most, one sample of each.")
    samples_per_arm: Annotated[int, Field(ge=1, le=1024)] = Field(
        8, description="Continuations of an arm and prompt."
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Of the continuations.")
    max_rows: Annotated[int, Field(ge=1)] = Field(128, description="Rows sampled side by side.")
    grader_workers: Annotated[int, Field(ge=1, le=64)] = Field(2, description="Grader processes.")
    grader_cpu_seconds: Annotated[float, Field(gt=0)] = Field(
        5.0, description="CPU time one answer may take."
    )


@dataclass(slots=True)
class Probe:
    """One call of `aha probe`."""

    config: ProbeConfig
    source: Source
    folder: Path
    words: Path | None = None
    threads: int | None = None
    progress: Progress = field(default_factory=SilentProgress)
    interrupt: Interrupt = field(default_factory=Interrupt)
    sandbox: SandboxSettings = field(default_factory=SandboxSettings.from_environment)
    """Where the programs of answers run."""

    def run(self) -> dict[str, Any]:
        """Cut, go on, grade and sum up; returns what `probe.json` holds.

        Raises:
            UserError: the folder was begun with other settings, no sample can be probed, or answers are programs and
                this machine cannot run them; says why.
            Interrupted: Ctrl-C; finished shards stay and are not sampled again.
        """
        words = load_reflective_words(self.words)
        check_isolation(map(self.source.mixture.prompt, range(LOOKED_AT)), self.sandbox, self.source.name)
        with RunLock(self.folder):
            hold(self.folder / SETTINGS_NAME, self._settings(words))
            samples = self.folder / "samples"
            samples.mkdir(exist_ok=True)
            remove_leftovers(samples)
            policy = load_policy(self.source.speaker.model)
            with GraderPool(
                self.config.grader_workers, self.config.grader_cpu_seconds, sandbox=self.sandbox
            ) as pool:
                work = _Work(self.config, self.source, policy, words, pool, samples)
                if self.source.rows is None:
                    self._draw(work)
                rows = self.source.rows() if self.source.rows is not None else read_shards(samples, DRAWN)
                found = _find_cuts(rows, work, self.config.n)
                if not found.cuts:
                    raise UserError(f"{self.source.name}: no sample can be probed. {_told(found)}")
                forbidden = forbidden_tokens(work.renderer, words, found.cuts)
                self._continue(work, found.cuts, forbidden)
            return self._report(found, {token: work.renderer.decode([token]) for token in forbidden})

    def _settings(self, words: ReflectiveWords) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "source": self.source.name,
            "model": self.source.speaker.model,
            "fingerprint": fingerprint(self.source.speaker.model),
            "template": self.source.speaker.template,
            "think_prefill": self.source.speaker.think_prefill,
            "temperature": self.source.temperature,
            "top_p": self.source.top_p,
            "max_new_tokens": self.source.max_new_tokens,
            "words": [*words.english, *words.chinese],
            "threads": self.threads,
            **self.config.model_dump(),
        }

    def _draw(self, work: _Work) -> None:
        prompts = self.source.first_prompts(self.config.n)
        shards = cut_shards(prompts, DRAWN_SHARD)
        self._shards(
            "drawing samples", shards, work.samples, DRAWN, lambda number: work.drawn(shards[number], number)
        )

    def _continue(self, work: _Work, cuts: Sequence[Cut], forbidden: Sequence[int]) -> None:
        shards = cut_shards(cuts, SHARD)
        self._shards(
            "probe", shards, work.samples, "", lambda number: work.continued(shards[number], forbidden)
        )

    def _shards(
        self, name: str, shards: Sequence[Sequence[Any]], folder: Path, prefix: str, make: Any
    ) -> None:
        done = [is_done(folder, number, prefix) for number in range(len(shards))]
        ready = sum(len(shard) for shard, finished in zip(shards, done, strict=True) if finished)
        self.progress.begin(name, sum(map(len, shards)), "prompt", ready)
        try:
            for number, shard in enumerate(shards):
                if done[number]:
                    continue
                if self.interrupt.asked:
                    raise Interrupted(f"{name}: {number} of {len(shards)} shards are saved.")
                rows = make(number)
                write_shard(folder, number, rows, prefix)
                ready += len(shard)
                scores = [row["correct"] for row in rows if row["correct"] is not None]
                self.progress.advance(ready, {"accuracy": sum(scores) / len(scores)} if scores else {})
        finally:
            self.progress.end()

    def _report(self, found: _Found, forbidden: Mapping[int, str]) -> dict[str, Any]:
        rows = read_shards(self.folder / "samples")
        report = {
            "format": FORMAT,
            "ahalab": __version__,
            "settings": self._settings(load_reflective_words(self.words)),
            "read": found.read,
            "skipped": dict(found.skipped),
            "forbidden_tokens": {str(token): text for token, text in sorted(forbidden.items())},
            "figures": probe_figures(rows, self.config.samples_per_arm),
        }
        write_json(self.folder / REPORT_NAME, report)
        write_text(self.folder / MARKDOWN_NAME, markdown(report))
        return report


@dataclass(slots=True)
class _Found:
    """The cuts, and what was left out."""

    cuts: list[Cut]
    read: int = 0
    skipped: Counter[str] = field(default_factory=Counter)


def _told(found: _Found) -> str:
    if not found.read:
        return "It has no samples."
    return f"Of {found.read} samples: {', '.join(f'{n} {why}' for why, n in found.skipped.items())}."


def _find_cuts(rows: Iterator[dict[str, Any]], work: _Work, n: int) -> _Found:
    """The first usable sample of each of the first `n` prompts that have one; every other sample read is counted."""
    found = _Found([])
    probed: set[str] = set()
    for row in rows:
        if len(found.cuts) >= n and str(row.get("prompt_id")) not in probed:
            break
        found.read += 1
        reason = None
        if row["prompt_id"] in probed:
            reason = "further samples of a prompt already probed"
        elif (prompt := work.source.prompt(row["prompt_id"])) is None:
            reason = "of a prompt that its recipe's sources no longer hold"
        elif prompt.verifier == "none" or prompt.verifier in GENERAL_VERIFIERS:
            reason = "without a right answer"
        else:
            one = cut_sample(row, prompt, work.renderer, work.words, work.source.max_new_tokens)
            if isinstance(one, Uncut):
                reason = one.reason
            else:
                found.cuts.append(one)
                probed.add(prompt.id)
        if reason is not None:
            found.skipped[reason] += 1
    return found


@dataclass(frozen=True, slots=True)
class _Continuation:
    """What was said after a cut, the forced word included."""

    place: int
    """Of the cut in its shard."""
    arm: str
    draw: int
    tokens: tuple[int, ...]
    finish: FinishReason


class _Work:
    """A loaded model and its graders."""

    def __init__(
        self,
        config: ProbeConfig,
        source: Source,
        policy: Policy,
        words: ReflectiveWords,
        pool: GraderPool,
        samples: Path,
    ) -> None:
        self.config, self.source, self.words, self.pool, self.samples = config, source, words, pool, samples
        self.renderer = Renderer(
            policy.tokenizer,
            template=source.speaker.template,
            think_prefill=source.speaker.think_prefill,
            extra_stop_ids=policy.stop_ids,
        )
        self.engine = EmbeddedEngine(policy.decoder, max_rows=config.max_rows)

    def drawn(self, prompts: Sequence[Prompt], number: int) -> list[dict[str, Any]]:
        """Fresh samples with their token ids, as rows."""
        asked = [
            PromptTokens(one.id, tuple(self.renderer.prompt_ids(one.question, one.messages)))
            for one in prompts
        ]
        key = RolloutKey(self.config.seed, "probe/drawn", number)
        found = {
            (one.prompt_id, one.index): one
            for one in self.engine.generate(
                asked, DRAWN_SAMPLES, self._sampling(self.source.max_new_tokens), key
            )
        }
        ordered = [(prompt, found[prompt.id, index]) for prompt in prompts for index in range(DRAWN_SAMPLES)]
        read = [self.renderer.parse(self.renderer.decode(one.token_ids), one.finish) for _, one in ordered]
        verdicts = self._grade([(prompt, one.answer) for (prompt, _), one in zip(ordered, read, strict=True)])
        return [
            {
                "prompt_id": prompt.id,
                "sample": sample.index,
                "text": response.text,
                "token_ids": list(sample.token_ids),
                "tokens": len(sample.token_ids),
                "finish": sample.finish,
                "correct": verdict.score,
                "error": verdict.error,
            }
            for (prompt, sample), response, verdict in zip(ordered, read, verdicts, strict=True)
        ]

    def continued(self, cuts: Sequence[Cut], forbidden: Sequence[int]) -> list[dict[str, Any]]:
        """The continuations of all arms, as rows in (prompt, arm, index) order."""
        unread: list[_Continuation] = []
        for arm in ARMS:
            unread += self._arm(cuts, arm, forbidden if arm == "without" else ())
        unread.sort(key=lambda one: (one.place, ARMS.index(one.arm), one.draw))
        read = [
            self.renderer.parse(self.renderer.decode((*cuts[one.place].prefix, *one.tokens)), one.finish)
            for one in unread
        ]
        verdicts = self._grade(
            [(cuts[one.place].prompt, got.answer) for one, got in zip(unread, read, strict=True)]
        )
        return [
            self._row(cuts[one.place], one, response, verdict)
            for one, response, verdict in zip(unread, read, verdicts, strict=True)
        ]

    def _arm(self, cuts: Sequence[Cut], arm: str, forbidden: Sequence[int]) -> list[_Continuation]:
        """`samples_per_arm` continuations of each cut. Those of "without" that begin with a reflective word all the
        same, by way of other tokens, are drawn again, at most `ROUNDS` times."""
        wanted = self.config.samples_per_arm
        kept: list[list[_Continuation]] = [[] for _ in cuts]
        for turn in range(ROUNDS if arm == "without" else 1):
            lacking = [place for place, found in enumerate(kept) if len(found) < wanted]
            if not lacking:
                break
            # The same key in every arm: continuation i of each has the same uniforms, token by token.
            key = RolloutKey(self.config.seed, "probe", turn)
            for one in self._drawn_once([(place, cuts[place]) for place in lacking], arm, forbidden, key):
                again = arm == "without" and self._begins_reflective(cuts[one.place], one.tokens)
                if not again and len(kept[one.place]) < wanted:
                    kept[one.place].append(replace(one, draw=turn * wanted + one.draw))
        return [one for found in kept for one in found]

    def _drawn_once(
        self, cuts: Sequence[tuple[int, Cut]], arm: str, forbidden: Sequence[int], key: RolloutKey
    ) -> list[_Continuation]:
        """One draw of every continuation, in (cut, sample) order, each cut off at the limit of the whole completion."""
        asked, forced, rooms = [], {}, {}
        for place, cut in cuts:
            forced[place] = cut.word_ids if arm == "with" else ()
            rooms[place] = self.source.max_new_tokens - len(cut.prefix) - len(forced[place])
            prompt = self.renderer.prompt_ids(cut.prompt.question, cut.prompt.messages)
            asked.append(PromptTokens(cut.prompt.id, (*prompt, *cut.prefix, *forced[place])))
        places = {cut.prompt.id: place for place, cut in cuts}
        longest = max(len(one.token_ids) for one in asked)
        room, limit = max(rooms.values()), self.engine.decoder.max_positions
        together = limit is None or longest + room <= limit
        found = []
        for batch in [asked] if together else [[one] for one in asked]:
            room = max(rooms[places[one.prompt_id]] for one in batch)
            sampling = self._sampling(room, forbidden)
            for one in self.engine.generate(batch, self.config.samples_per_arm, sampling, key):
                place = places[one.prompt_id]
                cut_off = len(one.token_ids) > rooms[place]
                found.append(
                    _Continuation(
                        place,
                        arm,
                        one.index,
                        (*forced[place], *one.token_ids[: rooms[place]]),
                        "length" if cut_off else one.finish,
                    )
                )
        return sorted(found, key=lambda one: (one.place, one.draw))

    def _begins_reflective(self, cut: Cut, tokens: Sequence[int]) -> bool:
        return first_reflective(self._after(cut, tokens).lstrip(), self.words) == 0

    def _after(self, cut: Cut, tokens: Sequence[int]) -> str:
        """What is said after the cut."""
        return self.renderer.decode((*cut.prefix, *tokens))[len(self.renderer.decode(cut.prefix)) :]

    def _row(self, cut: Cut, one: _Continuation, response: Response, verdict: Verdict) -> dict[str, Any]:
        counted = sum(count_reflective(response.thinking or "", self.words).values())
        return {
            "item": cut.prompt.id,
            "sample": cut.sample,
            "word": cut.word,
            "original_correct": cut.correct,
            "cut_at": len(cut.prefix),
            "arm": one.arm,
            "draw": one.draw,
            "text": self._after(cut, one.tokens),
            "new_tokens": len(one.tokens),
            "finish": one.finish,
            "answer": response.answer,
            "gold": cut.prompt.answer,
            "correct": verdict.score,
            "error": verdict.error,
            # Nothing before the cut is reflective; the forced word itself is none of the further ones.
            "further": max(0, counted - (one.arm == "with")),
            "begins_reflective": self._begins_reflective(cut, one.tokens),
        }

    def _sampling(self, max_new_tokens: int, forbidden: Sequence[int] = ()) -> Sampling:
        return Sampling(
            max_new_tokens=max_new_tokens,
            temperature=self.source.temperature,
            top_p=self.source.top_p,
            stop_ids=self.renderer.stop_ids,
            forbidden_first=tuple(forbidden),
        )

    def _grade(self, answers: Sequence[tuple[Prompt, str | None]]) -> list[Verdict]:
        return self.pool.grade_all(
            [
                GradeRequest(prompt.verifier, answer, prompt.answer, dict(prompt.extra))
                for prompt, answer in answers
            ]
        )
