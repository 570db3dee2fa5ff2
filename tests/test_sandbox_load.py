"""Three hundred good and hostile programs: right verdicts, nothing left. `make proof` runs ten thousand."""

from __future__ import annotations

import pytest

from sandbox_load import bear, mixture
from sandbox_tools import need_isolation


def test_the_mixture_follows_from_its_seed_and_has_everything() -> None:
    names = [expected.name for _, expected in mixture(2000, 1)]
    assert names == [expected.name for _, expected in mixture(2000, 1)]
    assert len(set(names)) > 40
    share = sum(name.startswith("good") for name in names) / len(names)
    assert 0.55 < share < 0.7


def test_three_hundred_mixed_programs_get_their_verdicts_and_leave_nothing(
    request: pytest.FixtureRequest,
) -> None:
    need_isolation(request)
    tally = bear(300, seed=6)
    assert tally.runs == 300
    assert not tally.failures
    assert not tally.wrong
    assert not tally.leaks
    assert all(grown < 30 for grown in tally.grown_megabytes.values()), tally.grown_megabytes
