"""The sample that annotators label: which replies were drawn, from which strata, and what each stands for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ahalab.counter import make_key, permutation
from ahalab.errors import UserError
from ahalab.runs.atomic import read_json, write_json
from ahalab.safety.records import Part

PLAN_NAME = "sample.json"
Key = tuple[str, str, str]
"""Item, target, part."""
Stratum = tuple[str, ...]
"""Verdict, target, language, group; shorter where strata were merged."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One reply of the sample."""

    item: str
    target: str
    part: Part
    stratum: Stratum
    """Never shown to an annotator."""
    weight: float
    """Replies of its stratum over those of them that were drawn."""

    @property
    def key(self) -> Key:
        """What tells it apart."""
        return self.item, self.target, self.part


@dataclass(frozen=True, slots=True)
class Plan:
    """A drawn sample, in the order in which it is labelled: the same for every annotator."""

    seed: int
    judge: str
    """Hash of the judge whose verdicts are strata; "" where nobody had judged."""
    asked: int
    """How many were asked for; fewer are drawn where there are fewer, more where there are more strata."""
    drawn: tuple[Drawn, ...]

    def weights(self) -> dict[Key, float]:
        """What each drawn reply stands for."""
        return {one.key: one.weight for one in self.drawn}


def draw(strata: Mapping[Stratum, Sequence[Key]], n: int, seed: int) -> tuple[Drawn, ...]:
    """`n` replies: as even over the strata as their sizes allow (rare verdicts are what a matrix needs), shuffled.

    Of a stratum with N replies n_h are drawn without replacement, so each stands for N / n_h: sums with these weights
    estimate the run's without bias (Horvitz and Thompson 1952), ratios of them nearly so. Where strata are
    many for `n`, they are merged: group goes first, then language, then target, the verdict never.
    """
    merged = _merged(strata, n)
    sizes = {name: len(rows) for name, rows in merged.items()}
    taken: list[Drawn] = []
    for name, share in sorted(_shares(sizes, n, seed).items()):
        rows = sorted(merged[name])
        for place in permutation(make_key("safety label", seed, *name), len(rows))[:share]:
            item, target, part = rows[place]
            taken.append(Drawn(item, target, part, name, len(rows) / share))  # type: ignore[arg-type]
    order = permutation(make_key("safety label order", seed), len(taken))
    return tuple(taken[place] for place in order)


def _merged(strata: Mapping[Stratum, Sequence[Key]], n: int) -> dict[Stratum, list[Key]]:
    """Strata without their last parts until there are at most `n` / 2 of them (our choice: two replies of each)."""
    level = max(map(len, strata), default=1)
    while True:
        merged: dict[Stratum, list[Key]] = defaultdict(list)
        for name, rows in strata.items():
            merged[name[:level]].extend(rows)
        if level == 1 or len(merged) * 2 <= n:
            return {name: rows for name, rows in merged.items() if rows}
        level -= 1


def _shares(sizes: Mapping[Stratum, int], n: int, seed: int) -> dict[Stratum, int]:
    """How many to take of each stratum: one more of whichever has fewest so far and some left, until `n`.

    At least one of each, even where that makes more than `n`: a stratum that nothing was drawn from would be missing
    from every estimate.
    """
    shares = dict.fromkeys(sizes, 1)
    names = sorted(sizes)
    places = permutation(make_key("safety label strata", seed), len(names))
    tie = dict(zip(names, places, strict=True))
    for _ in range(min(n, sum(sizes.values())) - len(sizes)):
        open_ones = [name for name in names if shares[name] < sizes[name]]
        shares[min(open_ones, key=lambda name: (shares[name], tie[name]))] += 1
    return shares


def read_plan(folder: Path) -> Plan | None:
    """The sample of a safety folder; None where none was drawn.

    Raises:
        UserError: the file is not what `aha safety label` wrote.
    """
    path = folder / "labels" / PLAN_NAME
    if not path.is_file():
        return None
    data = read_json(path)
    try:
        drawn = tuple(Drawn(**row | {"stratum": tuple(row["stratum"])}) for row in data["drawn"])
        return Plan(data["seed"], data["judge"], data["asked"], drawn)
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: is no sample as `aha safety label` draws it ({error})") from None


def write_plan(folder: Path, plan: Plan) -> None:
    """Keep a sample; labels/ is made where missing."""
    (folder / "labels").mkdir(exist_ok=True)
    write_json(folder / "labels" / PLAN_NAME, asdict(plan))
