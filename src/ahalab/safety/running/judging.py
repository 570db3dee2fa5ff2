"""Every reply is judged once per part and judge; what is judged already stays, and nothing is generated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ahalab.errors import AhaError, Interrupted, UserError
from ahalab.runs.held import hold
from ahalab.runs.progress import Progress, SilentProgress
from ahalab.safety.folder import read_replies, target_names
from ahalab.safety.protocols import Benchmark, Judge, judge_hash
from ahalab.safety.records import Case, Judgement, Part, SafetyItem
from ahalab.safety.running.rows import Key, OnceRows, done_keys

_ADVICE = "Its name is the hash of this: remove the folder of the judge if you changed the file by hand"

Counting = Callable[[Benchmark], Judge | None]
"""The judge of a set that is scored by counting; None for a set that is read and judged."""


@dataclass(slots=True)
class Judging:
    """The judgements of one judge on the replies in a folder. The folder is locked by the caller."""

    folder: Path
    items: Sequence[SafetyItem]
    benchmarks: Sequence[Benchmark]
    judge: Judge
    parts: Sequence[Part]
    counting: Counting = lambda _benchmark: None
    targets: Sequence[str] | None = None
    """Whose replies; everybody's when None."""
    progress: Progress = field(default_factory=SilentProgress)
    stopping: Callable[[], bool] = lambda: False
    _done: int = 0
    _errors: int = 0

    def run(self) -> None:
        """Judge what is not judged yet.

        Raises:
            UserError: no such target.
            Interrupted, RunStopped, EnvironmentFailure: as `Judge.judge`; judgements so far are kept.
        """
        work = list(self._work())
        total = sum(len(cases) for _, _, cases, _ in work)
        self._done = sum(done for *_, done in work)
        if not total:
            return
        self.progress.begin("judgements", total + self._done, "judgement", self._done)
        try:
            for judge, target, cases, _ in work:
                if cases:
                    self._judge(judge, target, cases)
        finally:
            self.progress.end()

    def cases(self, target: str) -> Iterator[Case]:
        """What there is to judge of a target's replies: an answer always, a thinking where there is one."""
        items = {item.id: item for item in self.items}
        for reply in read_replies(self.folder, target):
            item = items.get(reply.item)
            if item is None:
                raise UserError(f"targets/{target}/replies.jsonl: item {reply.item!r} is not in items.jsonl")
            for part in self.parts:
                if part == "answer" or reply.thinking.strip():
                    yield Case(item, reply, part, bool(item.extra.get("template")))

    def _work(self) -> Iterator[tuple[Judge, str, list[Case], int]]:
        """(judge, target, cases without a judgement, how many have one)."""
        names = target_names(self.folder)
        for name in self.targets or ():
            if name not in names:
                raise UserError(
                    f"target {name}: it has no reply in {self.folder}; there is: {', '.join(names)}"
                )
        own = judge_hash(self.judge.identity())
        judges: dict[str, Judge] = {}
        counted: dict[str, str] = {}
        for one in self.benchmarks:
            if (counter := self.counting(one)) is not None:
                counted[one.name] = judge_hash(counter.identity())
                judges[counted[one.name]] = counter
        judges[own] = self.judge  # last: what is only counted cannot fail
        for target in self.targets or names:
            by_judge: dict[str, list[Case]] = {name: [] for name in judges}
            for case in self.cases(target):
                name = counted.get(case.item.benchmark, own)
                if name == own or case.part == "answer":
                    by_judge[name].append(case)
            for name, cases in by_judge.items():
                judge = judges[name]
                done = done_keys(self.folder / "judges" / name / f"{target}.jsonl", Judgement)
                open_ = [case for case in cases if (case.item.id, case.part) not in done]
                yield judge, target, open_, len(cases) - len(open_)

    def _judge(self, judge: Judge, target: str, cases: Sequence[Case]) -> None:
        if self.stopping():
            raise Interrupted(f"{self._done} judgements are kept.")
        name = judge_hash(judge.identity())
        folder = self.folder / "judges" / name
        hold(folder / "judge.json", judge.identity(), _ADVICE)
        (folder / "judge.json").touch()  # the judge that judged last is the one whose figures are shown
        wanted: set[Key] = {(case.item.id, case.part) for case in cases}
        with OnceRows(folder / f"{target}.jsonl", Judgement, self._counted) as rows:
            judge.judge(cases, lambda found: rows.append(_signed(found, target, name, wanted)))
            missing = wanted - rows.keys
        if missing:
            raise AhaError(
                f"judge {name} gave no judgement of {len(missing)} replies of {target}: a fault of the judge"
            )

    def _counted(self, judgement: Judgement) -> None:
        self._done += 1
        self._errors += judgement.verdict == "judge_error"
        self.progress.advance(self._done, {"judge errors": self._errors})


def _signed(found: Judgement, target: str, judge: str, wanted: set[Key]) -> Judgement:
    if found.target != target or (found.item, found.part) not in wanted:
        raise ValueError(
            f"judge {judge}: a judgement of {found.target}, {found.item}, {found.part}: nobody asked for it"
        )
    return found if found.judge else replace(found, judge=judge)
