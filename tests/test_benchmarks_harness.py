"""The harness of the benchmarks: rounds alternate, ratios are made within pairs, memory is each one's own."""

import json

import pytest
from benchmarks import harness
from benchmarks.harness import Arena, Contestant, ContestantFailed, median, per_second, ratio, table

FILE = "../tests/benchmark_contestants.py"


def test_a_ratio_is_made_pair_by_pair_and_shows_its_range() -> None:
    assert str(ratio([1.0, 2.0, 4.0], [2.0, 6.0, 4.0], less_is_better=True)) == "2.00 × [1.00 – 3.00]"
    assert str(ratio([10.0, 30.0], [5.0, 10.0], less_is_better=False)) == "2.50 × [2.00 – 3.00]"


def test_contestants_alternate_and_their_rounds_are_timed() -> None:
    quick = Contestant("quick", f"{FILE}:Sleeper", {"seconds": 0.01})
    slow = Contestant("slow", f"{FILE}:Sleeper", {"seconds": 0.1})
    with Arena([quick, slow], threads=1) as arena:
        assert arena.facts["quick"]["dtype"] == "none"
        rounds = arena.alternate(pairs=3)
    assert [figures["number"] for figures in rounds["quick"]] == [0, 1, 2]
    assert 0.1 <= median(rounds["slow"], "seconds") < 1.0
    assert all(speed < 1000 for speed in per_second(rounds["slow"], "tokens"))
    assert median(rounds["quick"], "seconds") < median(rounds["slow"], "seconds")


def test_the_peak_is_that_of_the_round_and_not_of_earlier_ones() -> None:
    with Arena([Contestant("eater", f"{FILE}:Eater", {"megabytes": 200})], threads=1) as arena:
        first, second = arena.alternate(pairs=2, warmups=0)["eater"]
    assert first["peak_mb"] > second["peak_mb"] + 200


def test_a_peer_that_fails_says_why() -> None:
    with (
        pytest.raises(ContestantFailed, match="this peer does not start"),
        Arena([Contestant("failing", f"{FILE}:Failing")], threads=1),
    ):
        pass


def test_the_last_line_is_json_with_the_hardware(capsys: pytest.CaptureFixture[str]) -> None:
    text = table(["who", "s"], [["ahalab", "1.0"]])
    harness.report("nothing", 1, text, {"ratio": 2.0}, save=False)
    *_, last = capsys.readouterr().out.strip().splitlines()
    found = json.loads(last)
    assert found["benchmark"] == "nothing"
    assert found["ratio"] == 2.0
    assert {"processor", "cores", "threads", "date"} <= set(found["hardware"])
