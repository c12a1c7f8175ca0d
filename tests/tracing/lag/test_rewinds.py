"""Committed offsets that went back, and the offsets themselves, as series."""

from __future__ import annotations

import pytest

from tests.tracing.lag.test_losses import sweep
from tracing import Telemetry
from tracing.lag import Sweep, counters
from tracing.lag.counters import RewindCounter
from tracing.lag.gauges import LagGauges
from tracing.testing import Capture

COMMITTED = "pipeline.consumer.committed"
REWOUND = "pipeline.consumer.rewound"
PLACE = {
    "messaging.consumer.group.name": "payment",
    "messaging.destination.name": "orders",
    "messaging.destination.partition.id": "1",
}


def counted(*sweeps: Sweep) -> list[int]:
    counter = RewindCounter(partitions=True, max_series=10)
    return [sum(total for _, total in counter.count(each)) for each in sweeps]


@pytest.mark.parametrize(
    ("committed", "expected"),
    [
        ((5, 5, 9), [0, 0, 0]),
        ((9, 2, 2, 9), [0, 7, 7, 7]),
        ((9, 2, 5, 4), [0, 7, 7, 8]),
        # An operator has deleted the offset, and the group begins anew.
        ((9, None, 0), [0, 0, 9]),
    ],
)
def test_each_step_back_counts_once(committed: tuple[int | None, ...], expected: list[int]) -> None:
    assert expected == counted(*(sweep((each, 0)) for each in committed))


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (("old", "new"), [0, 0]),
        (("same", "same"), [0, 7]),
        (("same", None), [0, 7]),
        ((None, None), [0, 7]),
    ],
)
def test_a_new_topic_of_the_same_name_is_no_rewind(
    ids: tuple[str | None, ...], expected: list[int]
) -> None:
    sweeps = [
        sweep((committed, 0), topic_id=id_) for committed, id_ in zip((9, 2), ids, strict=True)
    ]

    assert expected == counted(*sweeps)


def test_without_topic_ids_a_log_that_ends_earlier_is_a_new_one() -> None:
    # The logs of these sweeps end at 100.
    assert [0, 0] == counted(sweep((150, 0)), sweep((2, 0)))


def test_a_partition_that_was_away_for_an_hour_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(counters, "monotonic", lambda: now)
    counter = RewindCounter(partitions=True, max_series=10)
    counter.count(sweep((9, 0)))
    now = 3601.0
    counter.count(sweep())

    assert [0] == [total for _, total in counter.count(sweep((2, 0)))]


@pytest.mark.parametrize(("partitions", "offset"), [(True, 9), (False, None)])
def test_offsets_are_reported_by_partition_or_not_at_all(
    partitions: bool, offset: int | None
) -> None:
    with Capture("lag") as capture:
        telemetry = Telemetry(
            "lag",
            tracer_provider=capture.tracer_provider,
            meter_provider=capture.meter_provider,
        )
        gauges = LagGauges(telemetry.metrics, partitions=partitions, max_series=10)
        gauges.start()
        gauges.show(sweep((20, 0), (12, 0)), valid_s=60)
        gauges.show(sweep((20, 0), (9, 0)), valid_s=60)

        assert offset == capture.metric(COMMITTED, PLACE)
        assert 3 == capture.metric(REWOUND)


def test_only_so_many_offsets_are_reported_as_there_may_be_series() -> None:
    with Capture("lag") as capture:
        telemetry = Telemetry(
            "lag",
            tracer_provider=capture.tracer_provider,
            meter_provider=capture.meter_provider,
        )
        gauges = LagGauges(telemetry.metrics, partitions=True, max_series=1)
        gauges.start()
        gauges.show(sweep((20, 0), (12, 0)), valid_s=60)

        assert 20 == capture.metric(COMMITTED)
