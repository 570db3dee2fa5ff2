"""A judge measured on labelled sets: it reads every reply without its label, and the two are compared.

FOLDER/judges/<hash>/judge.json            who was measured
    validation/<set>-<hash>.jsonl          its judgements of a set; what is there already is not judged again
    validation.json · validation.md        the figures
    paid/…                                 an endpoint's replies: none is paid for twice

FOLDER may be a safety evaluation: its headlines then know in which languages its judge was measured.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ahalab.errors import AhaError, Interrupted, UserError
from ahalab.evaluation.ranking import area_under_curve
from ahalab.runs.atomic import read_json, write_json, write_text
from ahalab.runs.held import hold
from ahalab.runs.lock import RunLock
from ahalab.runs.progress import Progress, SilentProgress
from ahalab.safety.folder import read_rows
from ahalab.safety.labels.gold import GoldReply, GoldSet, cluster_of
from ahalab.safety.labels.heads import NO_HEAD, said, two_classes
from ahalab.safety.labels.kappa import agreement
from ahalab.safety.labels.measured import Measured, Validation, measured_from
from ahalab.safety.labels.pairs import Pair
from ahalab.safety.labels.validated import VALIDATION_NAME
from ahalab.safety.labels.validation_markdown import validation_markdown
from ahalab.safety.labels.words import CLASSES, Head
from ahalab.safety.protocols import Judge, judge_hash
from ahalab.safety.records import Judgement
from ahalab.safety.running.rows import OnceRows, done_keys, drop_rows


def validate_judge(
    judge: Judge,
    sets: Sequence[GoldSet],
    folder: Path,
    *,
    retry_errors: bool = False,
    progress: Progress | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Validation:
    """Judge what is not judged yet, compare, and write the figures.

    Args:
        retry_errors: ask again for what ended in a judge error.

    Raises:
        UserError: the folder holds another judge's work under this name, or another command works in it.
        Interrupted, RunStopped, EnvironmentFailure: as `Judge.judge`; judgements so far are kept.
    """
    identity = judge.identity()
    name = judge_hash(identity)
    home = folder / "judges" / name
    with RunLock(folder):
        hold(home / "judge.json", identity)
        judged = [
            _judged(judge, one, home, retry_errors, progress or SilentProgress(), stopping) for one in sets
        ]
        measured = [
            row for one, found in zip(sets, judged, strict=True) for row in _measure(one, found, identity)
        ]
        measured += _pooled(sets, judged, identity)
        now = {(one.name, one.head, one.language) for one in measured}
        kept = [one for one in _kept(home) if (one.name, one.head, one.language) not in now]
        validation = Validation(name, identity, (*kept, *measured))
        write_json(home / VALIDATION_NAME, validation.as_dict())
        write_text(home / "validation.md", validation_markdown(validation))
    return validation


def _kept(home: Path) -> list[Measured]:
    """What was measured of the judge before."""
    path = home / VALIDATION_NAME
    if not path.is_file():
        return []
    try:
        return [measured_from(row) for row in read_json(path)["sets"]]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: is no validation as it was written ({error}). Remove it") from None


def _judged(
    judge: Judge,
    gold: GoldSet,
    home: Path,
    retry_errors: bool,
    progress: Progress,
    stopping: Callable[[], bool],
) -> dict[str, Judgement]:
    """Judgements of a set by the reply's id."""
    # The hash keeps apart what was judged before somebody changed the file.
    path = home / "validation" / f"{gold.name}-{gold.sha256[:8]}.jsonl"
    path.parent.mkdir(exist_ok=True)
    if retry_errors:
        drop_rows(path, Judgement, lambda row: row.verdict == "judge_error")
    done = {item for item, _ in done_keys(path, Judgement)}
    todo = gold.cases(one for one in gold.replies if one.id not in done)
    if todo:
        if stopping():
            raise Interrupted(f"{len(done)} judgements of {gold.name} are kept.")
        progress.begin(gold.name, len(gold.replies), "reply", len(done))
        try:
            count = Counter({"done": len(done)})

            def counted(row: Judgement) -> None:
                count["done"] += 1
                count["errors"] += row.verdict == "judge_error"
                shown = {"judge errors": count["errors"]} if count["errors"] else {}
                progress.advance(count["done"], shown)

            with OnceRows(path, Judgement, counted) as rows:
                judge.judge(todo, rows.append)
        finally:
            progress.end()
    found = {row.item: row for row in read_rows(path, Judgement)} if path.is_file() else {}
    missing = len(gold.replies) - len(found)
    if missing:
        raise AhaError(f"{gold.name}: the judge gave no judgement of {missing} replies: a fault of the judge")
    return found


def _measure(gold: GoldSet, judged: Mapping[str, Judgement], identity: Mapping[str, Any]) -> list[Measured]:
    """One row a language of the set."""
    languages = list(dict.fromkeys(one.language for one in gold.replies))
    return [
        _row(
            gold.name,
            gold.head,
            language,
            [(one, judged[one.id]) for one in gold.replies if one.language == language],
            source=gold.source,
            note=gold.note,
            labelled_by=gold.labelled_by,
            unlabelled=gold.unlabelled,
            learned=_learned(gold, identity),
            sha256=gold.sha256,
        )
        for language in languages
    ]


def _pooled(
    sets: Sequence[GoldSet], judged: Sequence[Mapping[str, Judgement]], identity: Mapping[str, Any]
) -> list[Measured]:
    """Sets of one pool together, in one language: their replies to one prompt are one cluster."""
    found = []
    for pool in dict.fromkeys(one.pool for one in sets if one.pool):
        members = [(gold, said_) for gold, said_ in zip(sets, judged, strict=True) if gold.pool == pool]
        languages = {one.language for gold, _ in members for one in gold.replies}
        if len(members) < 2 or len(languages) > 1:
            continue
        rows = [(one, said_[one.id]) for gold, said_ in members for one in gold.replies]
        found.append(
            _row(
                f"{pool}, {len(members)} files together",
                members[0][0].head,
                languages.pop(),
                rows,
                source=", ".join(gold.name for gold, _ in members),
                note=members[0][0].note,
                learned=any(_learned(gold, identity) for gold, _ in members),
            )
        )
    return found


def _row(
    name: str, head: Head, language: str, rows: Sequence[tuple[GoldReply, Judgement]], **about: Any
) -> Measured:
    words = [(one, judgement, said(head, judgement)) for one, judgement in rows]
    pairs = [
        Pair(one.truth, word, cluster_of(one), language, name) for one, _, word in words if word != NO_HEAD
    ]
    scored = [
        (judgement.score, one.truth == "unsafe") for one, judgement in rows if judgement.score is not None
    ]
    return Measured(
        name,
        head,
        language,
        len(rows),
        agreement(pairs, CLASSES[head]) if pairs else None,
        complied=agreement(two_classes(pairs), CLASSES["refusal"])
        if head == "compliance" and pairs
        else None,
        auc=area_under_curve(*zip(*scored, strict=True)) if head == "harm" and scored else None,
        no_head=sum(word == NO_HEAD for *_, word in words),
        judge_errors=dict(
            Counter(row.reason or "no reason" for _, row in rows if row.verdict == "judge_error")
        ),
        **about,
    )


def _learned(gold: GoldSet, identity: Mapping[str, Any]) -> bool:
    known = json.dumps(identity.get("training_data") or [])
    return any(digest in known or digest[:12] in known for digest in gold.files)
