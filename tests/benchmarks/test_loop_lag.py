from __future__ import annotations

import pytest

from benchmarks.loop_lag import added_ms, quantile


def test_the_difference_to_bare_clients_is_taken_round_by_round() -> None:
    # The machine was slower in the second round, for both.
    lags = {
        "bare": [[0.001] * 100, [0.021] * 100],
        "ours": [[0.002] * 100, [0.022] * 100],
    }

    assert pytest.approx([1.0, 1.0]) == added_ms(lags, "ours")


def test_a_quantile_is_a_measured_value() -> None:
    values = [float(number) for number in range(100)]

    assert [50.0, 99.0, 99.0] == [quantile(values, share) for share in (0.5, 0.99, 1.0)]
