"""Several evaluations as one: targets side by side, where they were asked the same and judged by the same judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.safety.comparison.reading import Answered, Evaluation, in_pairs, load_evaluation
from ahalab.safety.records import SafetyItem


def load_several(folders: Sequence[Path], judge: str | None = None, *, mix: bool = False) -> Evaluation:
    """Put evaluations together; one alone is as `load_evaluation`.

    A set of questions that two folders have must be the same in both, by the hash of its items, and all replies must
    be judged by one judge. `mix` allows otherwise; each difference is then a notice (`settings["mixed"]`). A target's
    name that two folders have gets its folder's before it.

    Raises:
        UserError: a folder twice, items or judges that differ (names both folders and what differs), or as
            `load_evaluation`.
    """
    paths = [Path(one).resolve() for one in folders]
    twice = [path for path, times in Counter(paths).items() if times > 1]
    if twice:
        raise UserError(f"{twice[0]} is named twice: name each folder once")
    found = [load_evaluation(path, judge) for path in folders]
    if len(found) == 1:
        return found[0]
    differences = [*_other_items(found), *_other_judges(found)]
    if differences and not mix:
        raise UserError(
            f"these evaluations are not of one kind: {differences[0]}. Compare folders that were asked and judged "
            "alike, choose a judge with --judge, or say --mix to put them together all the same."
        )
    return _together(found, differences)


def _other_items(found: Sequence[Evaluation]) -> list[str]:
    """Sets that two folders have and that are not the same."""
    seen: dict[str, tuple[str, Evaluation]] = {}
    told = []
    for one in found:
        for name, hash_ in one.set_hashes().items():
            first = seen.setdefault(name, (hash_, one))
            if first[0] != hash_:
                told.append(
                    f"{name} is {_size(first[1], name)} items with hash {first[0][:12]} in {first[1].folder} and "
                    f"{_size(one, name)} with hash {hash_[:12]} in {one.folder}"
                )
    return told


def _other_judges(found: Sequence[Evaluation]) -> list[str]:
    """Folders whose judge is another than the first folder's."""
    first = found[0]
    return [
        f"{first.folder} is judged by {_judge(first)} and {one.folder} by {_judge(one)}"
        for one in found[1:]
        if one.judge != first.judge
    ]


def _judge(one: Evaluation) -> str:
    model = one.judge_identity.get("model") or one.judge_identity.get("kind")
    return f"{one.judge} ({model})" if one.judge else "nobody"


def _size(one: Evaluation, name: str) -> int:
    return len(one.set_items(name))


def _together(found: Sequence[Evaluation], differences: Sequence[str]) -> Evaluation:
    items: dict[str, SafetyItem] = {}
    for one in found:
        for item in one.items.values():
            items.setdefault(item.id, item)
    names = Counter(target.name for one in found for target in one.targets)
    targets: list[Answered] = []
    for one in found:
        own = {target.name: _name(one, target.name, names) for target in one.targets}
        for target in one.targets:
            identity = dict(target.identity)
            if target.control_of:
                identity["control_of"] = own.get(target.control_of, target.control_of)
            targets.append(
                replace(target, name=own[target.name], identity=identity, asked=frozenset(one.items))
            )
    judges = {one.judge for one in found}
    settings: dict[str, Any] = {
        "folders": [one.name for one in found],
        "mixed": list(differences),
        "benchmarks": [row for one in found for row in one.settings.get("benchmarks") or ()],
    }
    first = found[0]
    return Evaluation(
        Path(" + ".join(one.name for one in found)),
        settings,
        items,
        in_pairs(targets),
        first.judge if len(judges) == 1 else ", ".join(sorted(filter(None, judges))),
        first.judge_identity if len(judges) == 1 else {},
        sorted({other for one in found for other in one.other_judges} - judges),
    )


def _name(evaluation: Evaluation, name: str, names: Counter[str]) -> str:
    return name if names[name] == 1 else f"{evaluation.name}/{name}"
