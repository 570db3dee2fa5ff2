"""The benchmark of growth: exponents are those of hand-made laws, sweeps are what the page says they are."""

import json
import math
from pathlib import Path

import pytest
from benchmarks import scaling, scaling_plot
from benchmarks.scaling import QUANTITIES, Measured, PowerFit, fit_power, sweeps


def test_an_exact_power_is_found_without_error() -> None:
    fit = fit_power([1, 2, 4, 8], [3, 12, 48, 192])
    assert fit.exponent == pytest.approx(2.0)
    assert fit.local == pytest.approx(2.0)
    assert fit.factor == pytest.approx(3.0)
    assert fit.error == pytest.approx(0.0, abs=1e-9)
    assert str(fit) == "2.00 ± 0.00 (last 2.00)"


def test_the_error_of_an_exponent_is_that_of_least_squares() -> None:
    # On log2: x 0, 1, 2 and y 0, 2, 1. Slope 1/2; residuals -1/2, 1, -1/2; error sqrt(1.5 / (3 - 2) / 2).
    fit = fit_power([1, 2, 4], [1, 4, 2])
    assert fit.exponent == pytest.approx(0.5)
    assert fit.error == pytest.approx(math.sqrt(0.75))
    assert fit.local == pytest.approx(-1.0)
    assert fit.factor == pytest.approx(math.sqrt(2))


def test_a_fixed_part_shows_in_the_fit_and_less_in_the_last_exponent() -> None:
    x = [4.0, 8.0, 16.0, 32.0, 64.0]
    fit = fit_power(x, [10.0 + value for value in x])
    assert fit.exponent < fit.local < 1.0
    assert fit.local == pytest.approx(math.log2(74 / 42))


def test_two_points_have_an_exponent_but_no_error() -> None:
    fit = fit_power([1, 10], [5, 50])
    assert fit.exponent == pytest.approx(1.0)
    assert fit.error is None
    assert str(fit) == "1.00 (last 1.00)"


@pytest.mark.parametrize(("x", "y"), [([1], [1]), ([1, 2], [1, 0]), ([2, 2], [1, 3]), ([1, 2, 3], [1, 2])])
def test_what_has_no_power_is_refused(x: list[float], y: list[float]) -> None:
    with pytest.raises(ValueError, match="no power"):
        fit_power(x, y)


def test_each_sweep_changes_one_thing() -> None:
    for sweep in sweeps(quick=False):
        options = list(sweep.points.values())
        changed = {key for key in options[0] if len({json.dumps(option[key]) for option in options}) > 1}
        assert changed == {"shape" if sweep.key == "parameters" else sweep.key}
        assert len(options) == 5
    quick = sweeps(quick=True)
    assert [len(sweep.points) for sweep in quick] == [3, 3, 3, 3]
    assert list(quick[0].points) == ["4", "8", "16"]


def measured() -> Measured:
    sweep = sweeps(quick=True)[0]
    x = [4.0, 8.0, 16.0]
    rounds = [
        [
            {
                "seconds": value * drift,
                "seconds_sample": 1.0,
                "seconds_learn": value - 1,
                "memory_mb": 50 + value,
            }
            | {"tokens": 100}
            for drift in (1.0, 1.1, 0.9)
        ]
        for value in x
    ]
    fits = {key: fit_power(x, [sorted(r[key] for r in point)[1] for point in rounds]) for key in QUANTITIES}
    return Measured(sweep, x, rounds, fits)


def test_a_sweeps_table_and_title_say_what_was_measured() -> None:
    found = measured()
    assert found.fits["seconds"].exponent == pytest.approx(1.0)
    assert "| 16                 | 1.000      | 15.000     | 16.000 [14.400 – 17.600] |" in found.text()
    assert scaling_plot.growth(found, "seconds") == "4 × the samples per prompt:\n4 × the time"
    assert scaling_plot.growth(found, "memory_mb") == "4 × the samples per prompt:\n1.22 × the memory"
    again = json.loads(json.dumps(found.figures()))
    assert PowerFit(**again["fits"]["seconds_sample"]).exponent == pytest.approx(0.0)
    assert again["memory_mb"][0] == [54.0] * 3


def test_the_picture_is_written(tmp_path: Path) -> None:
    scaling_plot.draw([measured()], tmp_path / "scaling.png", threads=1)
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")


def test_a_step_samples_every_token_and_learns_from_it() -> None:
    from benchmarks.scaling_contestant import ScalingStep

    step = ScalingStep(scaling.SHAPES["0.3M"], prompts=2, samples=3, prompt_tokens=5, new_tokens=7)
    before = {name: p.detach().clone() for name, p in step._model.named_parameters()}
    figures = step.run(0)
    assert figures["tokens"] == 2 * 3 * 7
    assert step.describe()["parameters"] == 344_640
    assert all(not p.equal(before[name]) for name, p in step._model.named_parameters())
