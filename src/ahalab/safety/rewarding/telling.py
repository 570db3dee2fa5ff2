"""What a person is told of a job before it, after it, and of the human check. Ids and counts, never the texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ahalab.safety.labels.kappa import Agreement
from ahalab.safety.protocols import Benchmark
from ahalab.safety.rewarding.checking import Checked
from ahalab.safety.rewarding.job import source_name
from ahalab.safety.rewarding.making import Prepared
from ahalab.safety.rewarding.reading import stream_rows
from ahalab.text.hostile import make_visible


def told_plan(prepared: Prepared, benchmarks: Sequence[Benchmark], missing: Mapping[str, str]) -> str:
    """What a job would ask at most: rows of its files, before any is left out."""
    job, base = prepared.job, prepared.base
    lines = [_guideline(prepared.guideline.identity())]
    prompts = 0
    for kind, sources in (("prompts", job.prompts), ("labelled", job.labelled)):
        for one in sources:
            name = source_name(one)
            path = base / Path(one.file).expanduser()
            rows = sum(1 for _ in stream_rows(path, f"{kind}.{name}"))
            rows = min(rows, one.rows or rows)
            prompts += rows if kind == "prompts" else 0
            rule = prepared.rules[name].rule
            lines.append(f"{kind}: {name}, {rows:,} rows by the rule {rule.name} (licence: {rule.licence})")
    for replier in job.replies:
        calls = f"at most {prompts:,} calls" if replier.endpoint else "no calls"
        lines.append(f"replies: {replier.name}, {calls}")
    if job.judge is not None:
        most = prompts * len(job.replies) * job.judge.votes
        lines.append(f"judge: at most {most:,} calls ({job.judge.votes} votes, {job.judge.agree})")
    lines += told_exclusion([(one.name, len(one.items)) for one in benchmarks], missing)
    return make_visible("\n".join(lines))


def told_exclusion(benchmarks: Sequence[tuple[str, int]], missing: Mapping[str, str]) -> list[str]:
    """What evaluation prompts are looked for, and which cannot be."""
    items = ", ".join(f"{name} ({count:,})" for name, count in benchmarks) or "nothing"
    lines = [f"kept out: prompts of {items}"]
    return lines + [f"NOT looked for: {name}: {why}" for name, why in missing.items()]


def told_summary(summary: Mapping[str, Any], folder: Path) -> str:
    """The data set in words."""
    lines = [
        f"{folder / 'data' / 'labelled.jsonl'}: {summary['rows']:,} responses, {summary['safe']:,} safe, "
        f"{summary['unsafe']:,} unsafe, {summary['with_thinking']:,} with thinking",
        _guideline(summary["guideline"]),
    ]
    for name, counts in summary["by_source"].items():
        lines.append(f"  {name}: {counts['safe']:,} safe, {counts['unsafe']:,} unsafe")
    lines.append(
        "  by language: "
        + ", ".join(
            f"{k} {v['safe']:,} safe {v['unsafe']:,} unsafe" for k, v in summary["by_language"].items()
        )
    )
    dropped = summary["dropped"]
    lines.append(
        f"left out: {sum(dropped.values()):,}"
        + (" (each is named in dropped.jsonl or its shard)" if dropped else "")
    )
    lines += [f"  {count:,} {reason}" for reason, count in dropped.items()]
    for name, unused in summary["unused_recorded"].items():
        lines += [f"  recorded file {name}: {count:,} {reason}" for reason, count in unused.items()]
    excluded = summary["excluded"]
    lines += told_exclusion(
        [(name, one["items"]) for name, one in excluded["benchmarks"].items()], excluded["missing"]
    )
    if summary["corrected_by_humans"]:
        lines.append(f"labels replaced by the human check: {summary['corrected_by_humans']:,}")
    lines += [f"WARNING: {one}" for one in summary["warnings"]]
    return make_visible("\n".join(lines))


def told_check(checked: Checked) -> str:
    """The human check in words."""
    missing = ", ".join(f"{name} {count}" for name, count in checked.missing.items() if count)
    lines = [
        f"{checked.both:,} of {checked.sample:,} responses were labelled by both annotators"
        + (f" (left open: {missing})" if missing else ""),
        f"annotators: {_agreement(checked.between)}",
        f"judge against labels both gave, weighted to the data set: {_agreement(checked.judge)}",
        f"both say otherwise than the judge: {len(checked.agreed_otherwise):,}"
        + (f", {checked.applied:,} labels replaced" if checked.applied else ""),
    ]
    return make_visible("\n".join(lines))


def _agreement(found: Agreement | None) -> str:
    if found is None:
        return "nothing to compare"
    if found.kappa is None:
        return f"n {found.n:,}, accuracy {found.accuracy:.3f}, no κ (one class only)"
    interval = "" if found.low is None else f" ({found.low:.2f} to {found.high:.2f}, clustered by prompt)"
    return f"n {found.n:,}, accuracy {found.accuracy:.3f}, κ {found.kappa:.2f}{interval}"


def _guideline(identity: Mapping[str, Any]) -> str:
    return (
        f"guideline: {identity['name']}, version {identity['version']}, sha256 {str(identity['sha256'])[:12]}"
    )
