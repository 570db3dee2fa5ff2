"""`aha guard audit label|rates|suggest|replay`: what people say about decisions, and what other policies would do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ahalab.cli.console import output
from ahalab.cli.guard_audit_options import (
    DEFAULT_LOG,
    Key,
    KeyId,
    Log,
    PolicyVersion,
    Since,
    Until,
    Who,
    Why,
    opened,
    period,
    reader_of,
    who_am_i,
)

if TYPE_CHECKING:
    from ahalab.serving.audit.rates import Rates, Share
    from ahalab.serving.audit.replay import Replay

_MOST_SHOWN = 50


def add_to(app: typer.Typer) -> None:
    """Add these commands to `aha guard audit`."""
    app.command("label")(label)
    app.command("rates")(rates)
    app.command("suggest")(suggest)
    app.command("replay")(replay)


def label(
    exchange: Annotated[str, typer.Argument(metavar="ID", help="The exchange's id.")],
    said: Annotated[
        str,
        typer.Argument(
            metavar="LABEL",
            help="false_positive (harmless, but flagged), missed (violating, but released), correct, withdrawn.",
        ),
    ],
    note: Annotated[str, typer.Option(help="A remark; no text of the dialogue: it cannot be erased.")] = "",
    log: Log = DEFAULT_LOG,
    key_file: Key = None,
    who: Who = None,
) -> None:
    """Say whether a decision was right. Feeds `rates` and `suggest`; the newest label of an exchange counts."""
    from ahalab.serving.audit.labels import add_label

    with opened(log, key_file) as store:
        number = add_label(store, exchange, said, who_am_i(who), note)
    output.print(f"{exchange}: {said}, row {number}", highlight=False, markup=False)


def rates(
    since: Since = None,
    until: Until = None,
    key: KeyId = None,
    version: PolicyVersion = None,
    log: Log = DEFAULT_LOG,
    key_file: Key = None,
) -> None:
    """Estimate precision and recall from labels, verdicts and the sampled unflagged dialogues."""
    from ahalab.serving.audit.labels import read_labels
    from ahalab.serving.audit.rates import measured_rates
    from ahalab.serving.audit.recorded import recorded

    with opened(log, key_file) as store:
        labels = read_labels(store.database)
        found = measured_rates(recorded(store.database, period(since, until, key, version)), labels)
    for line in _rate_lines(found):
        output.print(line, highlight=False, markup=False)


def suggest(
    since: Since = None,
    until: Until = None,
    key: KeyId = None,
    log: Log = DEFAULT_LOG,
    key_file: Key = None,
    who: Who = None,
    why: Why = None,
) -> None:
    """Show phrases for the allow-list that would have spared the false positives. Nothing is changed."""
    from ahalab.serving.audit.labels import read_labels
    from ahalab.serving.audit.reading import read_texts
    from ahalab.serving.audit.suggest import suggested_phrases
    from ahalab.text.hostile import make_visible

    with opened(log, key_file) as store:
        labels = read_labels(store.database)
        reader = reader_of(store, who, why)
        found = suggested_phrases(read_texts(store, period(since, until, key), reader, "suggest"), labels)
    for one in found.suggested:
        output.print(
            f"{one.category}: allow {make_visible(one.phrase)!r} for {make_visible(one.term)!r}: "
            f"spares {len(one.spares)} ({', '.join(one.spares[:3])})",
            highlight=False,
            markup=False,
        )
    for exchange, term in found.without:
        output.print(
            f"no phrase tells {make_visible(term)!r} in {exchange} from the true hits",
            highlight=False,
            markup=False,
        )
    output.print(
        f"{len(found.suggested)} suggestions; checked against {found.true_hits} true hits; "
        f"{found.lacking} labelled dialogues have no text any more",
        highlight=False,
    )


def replay(
    policy: Annotated[str, typer.Option("--policy", help="The other policy: a profile or a file.")],
    terms: Annotated[
        Path | None, typer.Option(help="The other terms: file or folder; the bundled list when left out.")
    ] = None,
    reviewer: Annotated[
        str | None,
        typer.Option(help="Who reviews what is flagged now; the log's own verdicts when left out."),
    ] = None,
    since: Since = None,
    until: Until = None,
    key: KeyId = None,
    version: PolicyVersion = None,
    to: Annotated[
        Path | None, typer.Option("--output", help="Also write all changes and gaps: FILE.json.")
    ] = None,
    log: Log = DEFAULT_LOG,
    key_file: Key = None,
    who: Who = None,
    why: Why = None,
) -> None:
    """Judge recorded dialogues again under another policy, and show what would change."""
    from ahalab.guard.checks import checked_terms
    from ahalab.guard.policy import open_policy
    from ahalab.guard.protocols import Reviewer
    from ahalab.guard.review.opening import open_reviewer
    from ahalab.guard.stream import StreamList
    from ahalab.guard.term import BUNDLED
    from ahalab.runs.atomic import write_json
    from ahalab.serving.audit import replay as replaying
    from ahalab.serving.audit.reading import read_texts

    opened_policy = open_policy(policy)
    found_terms, matcher = checked_terms(terms or BUNDLED)
    judge: Reviewer = (
        open_reviewer(reviewer, opened_policy) if reviewer else replaying.RecordedVerdicts(opened_policy)
    )
    control = replaying.replay_control(opened_policy, matcher, StreamList(found_terms), judge)
    with opened(log, key_file) as store:
        reader = reader_of(store, who, why)
        dialogues = read_texts(store, period(since, until, key, version), reader, "replay")
        result = asyncio.run(replaying.replay(dialogues, control))
    for line in _replay_lines(result):
        output.print(line, highlight=False, markup=False)
    if to is not None:
        write_json(
            to, {"policy": opened_policy.version, "changes": result.changes, "lacking": result.lacking}
        )
        output.print(f"written: {to}", highlight=False, markup=False)


def _rate_lines(found: Rates) -> list[str]:
    missed = "unknown" if found.missed_estimate is None else f"{found.missed_estimate:.1f}"
    lines = [
        f"{found.exchanges} exchanges: {found.flagged} flagged ({found.flagged_known} with a label or verdict), "
        f"{found.acted} acted against",
        "labels: " + (", ".join(f"{count} {name}" for name, count in sorted(found.labels.items())) or "none"),
        f"unflagged: {found.unflagged}, of which {found.sampled} sampled and judged, {found.missed_sampled} of these "
        f"violate; {found.missed_reported} more were reported as missed; estimate of all missed: {missed}",
        f"precision of flags     {_shown(found.flag_precision)}",
        f"recall of flags        {_shown(found.flag_recall)}",
        f"precision of actions   {_shown(found.action_precision)}",
    ]
    if found.uncovered:
        lines.append(
            f"{found.uncovered} unflagged exchanges are under policy versions without one sampled review: "
            "the recall leaves them out"
        )
    return lines


def _shown(share: Share) -> str:
    if share.share is None:
        return "unknown"
    return f"{share.share:.3f}  [{share.low:.3f}, {share.high:.3f}]  n {share.items:.0f}"


def _replay_lines(result: Replay) -> list[str]:
    lines = [f"{result.judged} dialogues judged again, {result.changed} end differently"]
    for (then, now), count in sorted(result.actions.items()):
        lines.append(f"  {then} -> {now}  {count}" + ("" if then == now else "  changed"))
    flags = result.flags
    lines.append(
        f"flagged then {flags[True, True] + flags[True, False]}, now {flags[True, True] + flags[False, True]}"
    )
    for rule, (before, after) in sorted(result.rules.items()):
        lines.append(f"  rule {rule}: violated then {before}, now {after}")
    for category, (before, after) in sorted(result.categories.items()):
        lines.append(f"  category {category}: acted against then {before}, now {after}")
    for error, count in sorted(result.errors.items()):
        lines.append(f"  no verdict now, {error}: {count}")
    lines.append(f"reviewer calls: {result.calls}")
    for reason, ids in sorted(result.lacking.items()):
        lines.append(f"not judged, {reason}: {len(ids)}  {_named(ids)}")
    for change in result.changes[:_MOST_SHOWN]:
        lines.append(
            f"{change['exchange']}: {change['then']} -> {change['now']}  rules {change['rules_then']} -> "
            f"{change['rules_now']}  {change['category']}"
        )
    if len(result.changes) > _MOST_SHOWN:
        lines.append(f"… {len(result.changes) - _MOST_SHOWN} more changes: --output FILE.json has all")
    return lines


def _named(ids: list[str]) -> str:
    return ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")
