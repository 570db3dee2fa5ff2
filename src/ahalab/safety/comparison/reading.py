"""A folder of a safety evaluation, joined: every item with each target's reply and the verdicts on it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from ahalab.errors import UserError
from ahalab.runs.atomic import read_json
from ahalab.runs.hashing import config_hash
from ahalab.safety.folder import (
    ITEMS_NAME,
    judge_names,
    open_folder,
    read_items,
    read_judgements,
    read_replies,
    target_names,
)
from ahalab.safety.records import Judgement, Part, SafetyItem, TargetReply, VerdictWord
from ahalab.safety.taxonomy import load_taxonomy

PARTS: tuple[Part, ...] = ("answer", "thinking")
View = Literal["answer", "thinking", "worst"]
"""Which verdict of a reply counts: on its answer, on its thinking, or the worse of the two."""
WORST_FIRST: tuple[VerdictWord, ...] = ("unsafe", "judge_error", "rejection", "safe")
"""The worse of two verdicts stands first; what is not known is worse than what is not unsafe (our choice)."""
WRAPPED_SET = " + jailbreak"
"""Behind a benchmark's name: its questions in templates."""
INCOHERENT = ("empty", "garbled")
"""Reasons of verdicts that are no reading of coherent text."""
SCORERS = ("bbq", "copyright")
"""Kinds of judges that count, and need no model: each judges its own benchmark only."""
Row = TypeVar("Row", TargetReply, Judgement)
_TINY = re.compile(r"builtin[:_-]|smollm2", re.IGNORECASE)
"""Models that come with the program: they try the pipeline."""


@dataclass(slots=True)
class Answered:
    """One target of a folder: who it is, what it replied, and what was said of that."""

    name: str
    identity: dict[str, Any]
    replies: dict[str, TargetReply]
    judgements: dict[Part, dict[str, Judgement]] = field(default_factory=dict)
    folder: Path = Path()
    """Where it lies: evaluations can be put together."""
    judge: str = ""
    """Hash of the judge whose verdicts count; "" where none has judged."""
    judge_identity: dict[str, Any] = field(default_factory=dict)
    asked: frozenset[str] | None = None
    """The items that it was to answer, where several evaluations were put together; None: all."""
    claim: bool = True
    """Whether its figures say something of a model's safety."""

    @property
    def control_of(self) -> str:
        """Name of the bare target, where this one is the same model behind a risk control; "" otherwise."""
        return str(self.identity.get("control_of") or "")

    @property
    def control(self) -> dict[str, Any]:
        """The identity of its risk control, what is said of its `reviewer` taken up; {} for none or an unknown one."""
        found = self.identity.get("control")
        if not isinstance(found, Mapping):
            return {}
        reviewer = found.get("reviewer")
        return {**found, **reviewer} if isinstance(reviewer, Mapping) else dict(found)

    @property
    def model(self) -> str:
        """The model's name, of which nothing is known but what was recorded."""
        return str(self.identity.get("model") or "")

    def verdict(self, item: str, view: View) -> VerdictWord | None:
        """The verdict on one reply; None where there is no judgement (yet), or nothing of that part."""
        if view != "worst":
            found = self.judgements.get(view, {}).get(item)
            return found.verdict if found else None
        both = [one for part in PARTS if (one := self.verdict(item, part)) is not None]
        return min(both, key=WORST_FIRST.index) if both else None

    def reason(self, item: str, view: View) -> str:
        """Why the verdict is no reading of coherent text; the answer's where both parts count."""
        part: Part = "thinking" if view == "thinking" else "answer"
        found = self.judgements.get(part, {}).get(item)
        return found.reason if found else ""

    def expected(self, item: str, view: View) -> bool:
        """Whether a verdict is wanted: of what it was asked, and of thinking only where there is some."""
        if self.asked is not None and item not in self.asked:
            return False
        reply = self.replies.get(item)
        return view != "thinking" or (reply is not None and bool(reply.thinking.strip()))


@dataclass(slots=True)
class Evaluation:
    """All of a folder, without the texts' meaning: what tables are made of."""

    folder: Path
    settings: dict[str, Any]
    items: dict[str, SafetyItem]
    targets: list[Answered]
    judge: str
    """Hash of the judge whose verdicts count; "" where none has judged."""
    judge_identity: dict[str, Any]
    other_judges: list[str]

    @property
    def name(self) -> str:
        """The folder's name; of several put together, all of them."""
        return str(self.folder) if "folders" in self.settings else self.folder.resolve().name

    @property
    def views(self) -> tuple[View, ...]:
        """What of the replies was judged; "worst" where both parts were."""
        judged = [part for part in PARTS if any(one.judgements.get(part) for one in self.targets)]
        return ("answer", "thinking", "worst") if len(judged) == 2 else tuple(judged)

    def target(self, name: str) -> Answered | None:
        """The target of that name."""
        return next((one for one in self.targets if one.name == name), None)

    def scorer(self, name: str) -> str:
        """How a set is scored, by its benchmark: as the settings say, else as the catalogue does; "judge" otherwise."""
        benchmark = name.removesuffix(WRAPPED_SET)
        for row in self.settings.get("benchmarks") or ():
            if isinstance(row, Mapping) and row.get("name") == benchmark:
                return str(row.get("scorer", "judge"))
        from ahalab.safety.benchmarks import BENCHMARKS

        return BENCHMARKS[benchmark].scorer if benchmark in BENCHMARKS else "judge"

    @property
    def sets(self) -> list[str]:
        """What was asked, in the order in which it was put: `set_of` the items."""
        return list(dict.fromkeys(map(set_of, self.items.values())))

    def set_items(self, name: str) -> list[SafetyItem]:
        """The items of a set, harmless ones too."""
        return [one for one in self.items.values() if set_of(one) == name]

    def set_hashes(self) -> dict[str, str]:
        """A hash of each set's items as they lie in the folder, order left out."""
        rows: dict[str, list[str]] = {}
        for one in self.items.values():
            rows.setdefault(set_of(one), []).append(f"{one.id} {config_hash(one.prompt)}")
        return {name: config_hash(sorted(found)) for name, found in rows.items()}


def is_wrapped(item: SafetyItem) -> bool:
    """Whether a jailbreak template was put around the question."""
    return bool(item.extra.get("template"))


def set_of(item: SafetyItem) -> str:
    """The benchmark; its wrapped questions are a set of their own, "safety-1120 + jailbreak"."""
    return item.benchmark + WRAPPED_SET if is_wrapped(item) else item.benchmark


def load_evaluation(folder: Path, judge: str | None = None) -> Evaluation:
    """Read a folder of the layout in `ahalab.safety.folder`.

    `judge` is a hash, or the beginning of one; left out, the one that judged last counts. Judges that only count
    (BBQ's options, verbatim overlap) are kept for the items that they judged, whichever judge is asked for.

    Raises:
        UserError: no such evaluation or judge, an item twice, or rows of an item that is not there; names file and id.
    """
    folder = Path(folder)
    settings = open_folder(folder)
    items: dict[str, SafetyItem] = {}
    for number, item in enumerate(read_items(folder), 1):
        if item.id in items:
            raise UserError(f"{folder / ITEMS_NAME}, row {number}: item {item.id!r} is there twice")
        items[item.id] = item
    identities = {name: _identity(folder / "judges" / name / "judge.json") for name in judge_names(folder)}
    scorers = [name for name, identity in identities.items() if _is_scorer(identity)]
    chosen, others = _choose(folder, [name for name in identities if name not in scorers], judge)
    targets = []
    for name in target_names(folder):
        replies = _by_item(
            read_replies(folder, name), items, folder / "targets" / name / "replies.jsonl", "reply"
        )
        identity = _identity(folder / "targets" / name / "target.json")
        one = Answered(name, identity, replies, {}, folder, chosen, identities.get(chosen, {}))
        one.claim = _claims(settings, one)
        for hash_ in [*([chosen] if chosen else []), *scorers]:
            path = folder / "judges" / hash_ / f"{name}.jsonl"
            found = read_judgements(folder, hash_, name)
            _check_words(found, path)
            for part in PARTS:
                rows = _by_item([row for row in found if row.part == part], items, path, f"{part} judgement")
                if rows:
                    one.judgements.setdefault(part, {}).update(rows)
        targets.append(one)
    return Evaluation(folder, settings, items, in_pairs(targets), chosen, identities.get(chosen, {}), others)


def _identity(path: Path) -> dict[str, Any]:
    """The identity in a file; one level of `identity` is taken off, what stands beside it is kept."""
    if not path.is_file():
        return {}
    found = read_json(path)
    if not isinstance(found, dict):
        raise UserError(f"{path}: a JSON object was expected")
    inner = found.get("identity")
    return {**found, **inner} if isinstance(inner, dict) else found


def _claims(settings: Mapping[str, Any], target: Answered) -> bool:
    """As the settings or the target say; never by default for the tiny models that only try the pipeline."""
    for told in (settings.get("claim"), target.identity.get("claim")):
        if isinstance(told, bool):
            return told
    return not _TINY.search(f"{target.identity.get('kind', '')} {target.model} {target.name}")


def _is_scorer(identity: Mapping[str, Any]) -> bool:
    return str(identity.get("kind")) in SCORERS


def _choose(folder: Path, names: Sequence[str], wanted: str | None) -> tuple[str, list[str]]:
    """The judge that counts and the others."""
    if not wanted:
        return (names[-1], list(names[:-1])) if names else ("", [])
    found = [name for name in names if name.startswith(wanted)]
    if len(found) != 1:
        there = ", ".join(names) or "none yet"
        raise UserError(
            f"--judge {wanted}: {'several judges' if found else 'no judge'} of {folder} "
            f"begin{'' if found else 's'} with it; there is: {there}"
        )
    return found[0], [name for name in names if name != found[0]]


def _check_words(rows: Sequence[Judgement], path: Path) -> None:
    """A word that is no verdict would count as "not unsafe": it is refused."""
    for row in rows:
        for what, word, known in (("verdict", row.verdict, WORST_FIRST), ("part", row.part, PARTS)):
            if word not in known:
                raise UserError(
                    f"{path}: item {row.item!r} has the {what} {word!r}; expected one of {', '.join(known)}"
                )


def _by_item(rows: Sequence[Row], items: Mapping[str, SafetyItem], path: Path, what: str) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in rows:
        if row.item not in items:
            raise UserError(f"{path}: a {what} of item {row.item!r}, which is not in {ITEMS_NAME}")
        if row.item in found:
            raise UserError(f"{path}: a second {what} of item {row.item!r}; each may have one")
        found[row.item] = row
    return found


def in_pairs(targets: Sequence[Answered]) -> list[Answered]:
    """Each bare target followed by the same one behind a control."""
    bare = [one for one in targets if not one.control_of]
    names = {one.name for one in bare}
    ordered = []
    for one in bare:
        ordered += [one, *(other for other in targets if other.control_of == one.name)]
    return [*ordered, *(one for one in targets if one.control_of and one.control_of not in names)]


@lru_cache(maxsize=4096)
def category_of(group: str) -> str:
    """The category of a sub-category's id ("D" of "D03"); "" for what is no sub-category of the taxonomy."""
    try:
        return load_taxonomy().category_of(group).id
    except KeyError:
        return ""


def in_order(groups: Iterable[str]) -> list[str]:
    """Sub-categories as the taxonomy has them, then other groups by name; each once, "" left out."""
    places = {one.id: place for place, one in enumerate(load_taxonomy().subcategories)}
    return sorted(filter(None, set(groups)), key=lambda one: (places.get(one, len(places)), one))


def group_name(group: str) -> str:
    """A sub-category or category by its English name; other groups as they are called."""
    taxonomy = load_taxonomy()
    names = {one.id: one.name["en"] for one in taxonomy.subcategories}
    names |= {one.id: one.name["en"] for one in taxonomy.categories}
    return names.get(group, group)
