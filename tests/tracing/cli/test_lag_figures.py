"""Optional columns of the table of groups, and their data for JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from math import inf

import pytest
from rich.console import Console

from tracing.cli.lag_output import document, print_sweep
from tracing.lag import (
    Cause,
    GroupLag,
    InflowShare,
    PartitionLag,
    RetentionUse,
    Status,
    Sweep,
    Velocity,
)
from tracing.lag.causes import cause_of


def part(
    number: int = 0,
    status: Status | None = Status.OK,
    *,
    lost: int = 0,
    retention: RetentionUse | None = None,
    velocity: Velocity | None = None,
    share: InflowShare | None = None,
    cause: Cause | None = None,
    exact: bool = True,
) -> PartitionLag:
    return PartitionLag(
        "orders", number, 0, 5, 5, 1.0, exact, True, status,
        lost=lost, retention=retention, velocity=velocity, inflow_share=share, cause=cause,
    )  # fmt: skip


def sweep(*parts: PartitionLag, unknown: tuple[str, ...] = ()) -> Sweep:
    status = Status.OK
    group = GroupLag("payment", "Stable", 1, parts, status, cause_of(parts))
    return Sweep(0.0, 0.1, (group,), unknown_retention=unknown)


def table(shown: Sweep, *, each: bool = False) -> list[str]:
    """Return the lines of a table: cells without their padding, separated by bars."""
    output = StringIO()
    print_sweep(shown, Console(file=output, width=250), each=each)
    lines = output.getvalue().splitlines()
    return [
        "|".join(cell.strip() for cell in line.split("  ") if cell.strip())
        for line in lines
        if "───" not in line
    ]


@pytest.mark.parametrize(
    ("assigned", "committed", "words"),
    [
        ((True, True), (0, 0), "2 of 2 behind"),
        ((True, False), (0, 0), "2 of 2 behind"),
        # The last member left, and one partition has no commit: all are known.
        ((False, False), (0, None), "2 of 2 behind"),
        # Nothing is known of further partitions of the topic.
        ((False, False), (0, 0), "2 behind, 2 committed"),
        ((None, None), (0, 0), "2 behind, 2 committed"),
    ],
)
def test_a_group_that_is_known_by_its_commits_alone_is_not_called_up_to_date_elsewhere(
    assigned: tuple[bool | None, ...], committed: tuple[int | None, ...], words: str
) -> None:
    parts = [
        replace(part(number), assigned=assigned[number], committed=committed[number])
        for number in range(2)
    ]
    _, row, *notes = table(sweep(*parts))

    assert words == row.rpartition("|")[2]
    assert words.endswith("committed") == any(note.startswith("committed: ") for note in notes)
    assert notes == table(sweep(*parts), each=True)[3:]


def test_columns_that_are_unknown_for_all_are_left_out() -> None:
    assert [
        "lag|oldest waits|status|group|members|topic|partition",
        "5|1.0 s|ok|payment|1|orders|1 of 1 behind",
    ] == table(sweep(part()))


def test_columns_of_zeros_alone_are_left_out() -> None:
    shown = sweep(
        part(retention=RetentionUse(0.004, None), velocity=Velocity(0.04, 0.0, True, 0.0))
    )

    assert [
        "lag|oldest waits|status|group|members|topic|partition",
        "5|1.0 s|ok|payment|1|orders|1 of 1 behind",
    ] == table(shown)


def test_a_line_shows_the_worst_of_its_partitions() -> None:
    shown = sweep(
        part(0, retention=RetentionUse(0.5, 7200.0), velocity=Velocity(1.0, 2.0, True, 5.0)),
        part(
            1, Status.STALLED, lost=3, retention=RetentionUse(0.834, 90.0), exact=False,
            velocity=Velocity(3.0, 0.0, False, inf), cause=Cause.STALLED_COMMITS,
            share=InflowShare(0.75, True),
        ),
    )  # fmt: skip
    heading, line, note = table(shown)

    assert (
        "lag|oldest waits|retention used|loss in|lost|in/s|out/s|caught up in|status|cause|group"
        "|members|topic|partition"
    ) == heading
    assert (
        "10|~1.0 s|~83%|~90.0 s|3|4.0|2.0|never|stalled|one partition, 1: stalled commits|payment"
        "|1|orders|2 of 2 behind, 1 hot: 75% of inflow"
    ) == line
    assert note.startswith("~")


def test_each_partition_has_its_own_figures() -> None:
    shown = sweep(
        part(0, retention=RetentionUse(0.25, None)),
        part(1, velocity=Velocity(3.0, 4.0, True, 7200.0), share=InflowShare(0.75, True)),
    )
    _, first, second = table(shown, each=True)

    assert "5|1.0 s|25%|?|?|?|ok|payment|1|orders|0" == first
    assert "5|1.0 s|?|3.0|4.0|2.0 h|ok|payment|1|orders|1 hot: 75% of inflow" == second


def test_a_loss_that_is_due_any_time_is_in_0_seconds() -> None:
    assert "5|1.0 s|130%|0.0 s|ok" in table(sweep(part(retention=RetentionUse(1.3, 0.0))))[1]


@pytest.mark.parametrize(
    ("unknown", "note"),
    [
        (("DescribeConfigs on topic orders",), "without DescribeConfigs on topic orders"),
        (("Describe on cluster", "x", "y"), "without Describe on cluster and 2 more"),
    ],
)
def test_a_note_says_why_retention_is_unknown(unknown: tuple[str, ...], note: str) -> None:
    assert (
        f"how much retention is used is not known {note}"
        == table(sweep(part(), unknown=unknown))[-1]
    )


def test_json_has_the_figures_and_says_never() -> None:
    shown = sweep(
        part(
            0, Status.LAGGING, lost=3, retention=RetentionUse(0.51239, 10.0),
            velocity=Velocity(3.0, 0.0, False, inf), share=InflowShare(0.75, True),
            cause=Cause.STALLED_COMMITS,
        ),
        unknown=("Describe on cluster",),
    )  # fmt: skip
    text = json.dumps(document(shown), allow_nan=False)
    (group,) = json.loads(text)["groups"]
    (figures,) = group["partitions"]

    assert "stalled_commits" == group["cause"]
    assert {
        "lost": 3,
        "retention": {"used": 0.5124, "left_s": 10.0},
        "velocity": {"inflow": 3.0, "commits": 0.0, "catch_up_s": "never"},
        "inflow_share": {"share": 0.75, "hot": True},
        "cause": "stalled_commits",
    }.items() <= figures.items()
    assert ["Describe on cluster"] == json.loads(text)["unknown_retention"]
