"""Ten thousand executions of good and hostile programs: every verdict right, nothing left behind."""

from __future__ import annotations

import os

import pytest

from proof_tools import write_result
from sandbox_load import bear
from sandbox_tools import need_isolation

RUNS = 10_000


@pytest.mark.proof
def test_ten_thousand_mixed_programs_get_their_verdicts_and_leave_nothing(
    request: pytest.FixtureRequest,
) -> None:
    need_isolation(request)
    tally = bear(RUNS, seed=10_000)
    good = sum(count for name, count in tally.kinds.items() if name.startswith("good"))
    failing = sum(count for name, count in tally.kinds.items() if name.startswith("failing"))
    lines = [
        f"{tally.runs:,} executions over 2 workers: {good:,} good programs, {failing:,} with a mistake, "
        f"{tally.runs - good - failing:,} hostile of {len(tally.kinds)} kinds in all.",
        "",
        "| | |",
        "|---|---|",
        f"| right verdicts | {tally.runs - len(tally.wrong) - len(tally.failures):,} of {tally.runs:,} |",
        f"| failures of the sandbox itself | {len(tally.failures)} |",
        f"| programs per second, this mixture | {tally.runs / tally.seconds:.1f} |",
        f"| seconds | {tally.seconds:.0f} |",
        f"| load average of the machine at the end, over 15 minutes | {os.getloadavg()[2]:.1f} |",
        f"| processes, descriptors, mounts, files left | {len(tally.leaks)} |",
        f"| memory grown, MB | {', '.join(f'{name} {mb:+.1f}' for name, mb in tally.grown_megabytes.items())} |",
        "",
        "| status | executions |",
        "|---|---|",
        *(f"| {status} | {count:,} |" for status, count in tally.statuses.most_common()),
        "",
        "| kind | executions |",
        "|---|---|",
        *(f"| {name} | {count:,} |" for name, count in sorted(tally.kinds.items())),
    ]
    if tally.wrong or tally.failures or tally.leaks:
        lines += ["", *tally.wrong[:20], *tally.failures[:20], *tally.leaks]
    write_result("sandbox-10000", "make proof", lines)
    print("\n".join(lines))
    assert tally.runs == RUNS
    assert not tally.failures
    assert not tally.wrong
    assert not tally.leaks
    assert all(grown < 30 for grown in tally.grown_megabytes.values())
