"""What a summary leaves in its folder: JSON, Markdown, a row a verdict as JSONL and Parquet, charts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ahalab.runs.atomic import TEMPORARY_PREFIX, explaining_disk_errors, write_bytes, write_json, write_text
from ahalab.runs.jsonl import encode_row
from ahalab.safety.comparison.charts import draw_charts
from ahalab.safety.comparison.markdown import markdown
from ahalab.safety.comparison.reading import PARTS, category_of, set_of
from ahalab.safety.comparison.summary import Summary

SUMMARY_JSON, SUMMARY_MD = "summary.json", "summary.md"
RESULTS_JSONL, RESULTS_PARQUET = "results.jsonl", "results.parquet"
CHARTS = "charts"


def write_summary(summary: Summary, folder: Path) -> list[Path]:
    """Write all of it into an existing folder; which files were written.

    Parquet needs the extra `hub`: where it is missing, `summary.notices` says so and the JSONL has the same rows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(result_rows(summary))
    write_bytes(folder / RESULTS_JSONL, b"".join(map(encode_row, rows)))
    written = [folder / RESULTS_JSONL]
    missing = _write_parquet(rows, folder / RESULTS_PARQUET)
    if missing:
        summary.notices.append(missing)
        # An old one would be of other rows.
        (folder / RESULTS_PARQUET).unlink(missing_ok=True)
    else:
        written.append(folder / RESULTS_PARQUET)
    written += draw_charts(summary, folder / CHARTS)
    write_json(folder / SUMMARY_JSON, summary.as_dict())
    write_text(folder / SUMMARY_MD, markdown(summary))
    return [folder / SUMMARY_MD, folder / SUMMARY_JSON, *written]


def result_rows(summary: Summary) -> Iterator[dict[str, Any]]:
    """A row for every item, target and part that was judged or should have been. No texts: ids and verdicts."""
    evaluation = summary.evaluation
    circular = {one.target for one in summary.marks.circles}
    for target in evaluation.targets:
        for item in evaluation.items.values():
            reply = target.replies.get(item.id)
            for part in PARTS:
                if part == "thinking" and part not in evaluation.views:
                    continue
                if not target.expected(item.id, part):
                    continue
                found = target.judgements.get(part, {}).get(item.id)
                yield {
                    "evaluation": evaluation.name,
                    "set": set_of(item),
                    "item": item.id,
                    "language": item.language,
                    "category": category_of(item.group),
                    "group": item.group,
                    "cluster": item.cluster,
                    "harmful": item.harmful,
                    "target": target.name,
                    "control_of": target.control_of,
                    "part": part,
                    "verdict": found.verdict if found else None,
                    "reason": found.reason if found else "",
                    "compliance": found.compliance if found else "",
                    "score": found.score if found else None,
                    "windows": found.windows if found else None,
                    "judge": found.judge if found else "",
                    "rubric": found.rubric if found else "",
                    "finish": reply.finish if reply else None,
                    "control": reply.control if reply else "",
                    "error": reply.error if reply else "",
                    "tokens_in": reply.tokens_in if reply else None,
                    "tokens_out": reply.tokens_out if reply else None,
                    "seconds": reply.seconds if reply else None,
                    "reviewer_calls": reply.reviewer_calls if reply else None,
                    "circular": target.name in circular,
                    "claim": target.claim,
                }


def _write_parquet(rows: list[dict[str, Any]], path: Path) -> str:
    """Why there is none; "" where it was written."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return f"{RESULTS_PARQUET} was not written: pip install 'ahalab[hub]'. {RESULTS_JSONL} has the same rows."
    text, number, whole = pyarrow.string(), pyarrow.float64(), pyarrow.int64()
    kinds = dict.fromkeys(("harmful", "circular", "claim"), pyarrow.bool_())
    kinds |= dict.fromkeys(("score", "seconds"), number)
    kinds |= dict.fromkeys(("windows", "tokens_in", "tokens_out", "reviewer_calls"), whole)
    columns = list(rows[0]) if rows else []
    schema = pyarrow.schema([(name, kinds.get(name, text)) for name in columns])
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{path.name}")
    with explaining_disk_errors(path):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), temporary)
        temporary.replace(path)
    return ""
