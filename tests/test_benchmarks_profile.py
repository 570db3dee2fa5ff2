"""The profile's groups: every operation goes to the one it belongs to, and shares add up."""

import pytest
from benchmarks.step_profile import _Clock, group_of, per_cent


@pytest.mark.parametrize(
    ("operation", "group"),
    [
        ("aten::mm", "matrix products"),
        ("aten::addmm_", "matrix products"),
        ("aten::_int_mm", "matrix products"),
        ("aten::bmm", "attention's products"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention's products"),
        ("aten::_softmax", "softmax, and drawing tokens"),
        ("aten::_log_softmax", "softmax, and drawing tokens"),
        ("aten::searchsorted", "softmax, and drawing tokens"),
        ("aten::index_select", "gathers and copies"),
        ("aten::_to_copy", "norms, rotation, activations"),
        ("aten::copy_", "gathers and copies"),
        ("aten::silu", "norms, rotation, activations"),
        ("aten::mul", "norms, rotation, activations"),
    ],
)
def test_an_operation_belongs_to_its_group(operation: str, group: str) -> None:
    assert group_of(operation) == group


def test_the_clock_adds_up_calls_and_lets_results_and_errors_through() -> None:
    class Owner:
        def twice(self, x: int) -> int:
            if x < 0:
                raise ValueError("negative")
            return 2 * x

    owner, clock = Owner(), _Clock()
    clock.wrap("twice", owner, "twice")
    assert owner.twice(3) == 6
    with pytest.raises(ValueError, match="negative"):
        owner.twice(-1)
    assert clock.seconds["twice"] > 0


def test_shares_are_shown_in_per_cent() -> None:
    assert "| a    | 12.5 |" in per_cent("part", {"a": 0.125})
