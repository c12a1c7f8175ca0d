"""What was sent to a group is handled, pending, skipped, or unaccounted: on given series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from dashboards.boards.dead_letters import dead_letters_board
from dashboards.config import Config
from dashboards.model.board import SignalPanel, title_of
from dashboards.model.promql import Scope
from dashboards.signals import completeness
from tests.dashboards.board_documents import panels
from tests.dashboards.promtool import check_queries

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SCOPE: Final = Scope.of(Config(), window="10m")
HOP: Final = 'messaging_consumer_group_name="g", messaging_destination_name="t"'
COLUMNS: Final = {signal.title: signal for signal in completeness.BALANCE}


def place(partition: int, instance: str = "m") -> str:
    return f'{{{HOP}, messaging_destination_partition_id="{partition}", instance="{instance}"}}'


def monitored(*partitions: tuple[str, str], instance: str = "m") -> dict[str, str]:
    """Return series of committed offsets and lags."""
    return {
        f"{metric}{place(number, instance)}": values
        for number, pair in enumerate(partitions)
        for metric, values in zip(
            ("pipeline_consumer_committed", "pipeline_consumer_lag"), pair, strict=True
        )
    }


def received(values: str, instance: str = "a", job: str = "s") -> dict[str, str]:
    labels = f'{HOP}, job="{job}", instance="{instance}"'
    return {f"messaging_client_consumed_messages_total{{{labels}}}": values}


def skipped(values: str, reason: str, instance: str = "a") -> dict[str, str]:
    labels = f'{HOP}, job="s", instance="{instance}", reason="{reason}"'
    return {f"pipeline_consumer_skipped_total{{{labels}}}": values}


# There are 20 steps in a window, which ends at step 120.
STEADY: Final = monitored(("1000+10x200", "5x200"), ("0+5x200", "7x200"))
BALANCES: Final[Mapping[str, tuple[dict[str, str], dict[str, float | None]]]] = {
    "everything is received or pending": (
        {**STEADY, **received("0+15x200")},
        {"Due": 312, "Received": 300, "Pending": 12, "Unaccounted": 0},
    ),
    "a rolling restart by other instances": (
        {**STEADY, **received("0+15x110 _x90"), **received("_x110 0+15x90", "b")},
        {"Received": 300, "Unaccounted": 0},
    ),
    "records were skipped": (
        {
            **STEADY,
            **received("0+15x110 1650+15x4 1710x90"),
            **skipped("0x114 60x90", "deleted"),
            **skipped("0x114 30x90", "reset"),
            **skipped("0x200", "seek"),
        },
        {"Due": 312, "Received": 210, "Skipped": 90, "Unaccounted": 0},
    ),
    "each transaction has a marker": (
        {**STEADY, **received("0+10x200"), **skipped("0x200", "deleted")},
        {"Received": 200, "Skipped": 0, "Unaccounted": 100},
    ),
    "records were received twice": (
        {**STEADY, **received("0+16x200"), **skipped("0x200", "deleted")},
        {"Received": 320, "Unaccounted": -20},
    ),
    "the group is dead": (
        {**monitored(("1000x200", "0+10x200")), **received("500x60 _x140")},
        {"Due": 1200, "Received": None, "Pending": 1200, "Unaccounted": None},
    ),
    "two monitors, of which one has ended": (
        {
            **monitored(("1000+10x110 _x90", "5x110 _x90")),
            **monitored(("_x112 2120+10x90", "_x112 5x90"), instance="n"),
            **received("0+10x200"),
        },
        {"Due": 205, "Received": 200, "Unaccounted": 0},
    ),
    "what a monitor has never seen is not due": (
        {**monitored(("_x110 5000+10x90", "_x110 0x90")), **received("_x110 0+10x90")},
        {"Due": 100, "Unaccounted": 0},
    ),
    "a group without our consumers": (
        monitored(("0+10x200", "3x200")),
        {"Due": 203, "Pending": 3, "Received": None, "Unaccounted": None},
    ),
}


@pytest.mark.parametrize("about", BALANCES)
def test_the_balance_is_that_of_the_offsets(about: str, binaries: Path, tmp_path: Path) -> None:
    series, expected = BALANCES[about]
    check_queries(
        [(f"sum({COLUMNS[title].expr(SCOPE)})", value) for title, value in expected.items()],
        series,
        binaries,
        tmp_path,
    )


def test_skipped_offsets_count_by_reason_from_the_first_one_on(
    binaries: Path, tmp_path: Path
) -> None:
    query = completeness.SKIPPED.expr(SCOPE)
    check_queries(
        [(f'sum({query} and on (reason) label_replace(vector(1), "reason", "{reason}", "", ""))',
          value) for reason, value in (("deleted", 60), ("reset", 30), ("seek", 0))],
        {
            # One is an increase, another the first value of a series.
            **skipped("0x114 60x90", "deleted"),
            **skipped("_x114 30x90", "reset"),
            **skipped("7x200", "seek"),
        },
        binaries,
        tmp_path,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("series", "value"),
    [
        ({f"pipeline_consumer_rewound_total{place(0)}": "0x114 40x90"}, 40),
        # Each monitor reports the same.
        ({f"pipeline_consumer_rewound_total{place(0, name)}": "0x114 40x90" for name in "mn"}, 40),
        ({f"pipeline_consumer_rewound_total{place(0)}": "40x200"}, 0),
    ],
)
def test_offsets_that_are_read_again_count_once(
    series: dict[str, str], value: float, binaries: Path, tmp_path: Path
) -> None:
    check_queries([(f"sum({completeness.REWOUND.expr(SCOPE)})", value)], series, binaries, tmp_path)


def test_the_balance_is_one_table_with_a_column_for_each_part() -> None:
    (shown,) = (
        panel for panel in panels(dead_letters_board()) if panel["title"] == "Balance of each group"
    )
    (merge, organize) = shown["transformations"]
    names = organize["options"]["renameByName"]

    assert "merge" == merge["id"]
    assert [*COLUMNS] == [names[f"Value #{target['refId']}"] for target in shown["targets"]]
    assert ["table"] * 6 == [target["format"] for target in shown["targets"]]
    assert {"locale"} == {
        prop["value"]
        for override in shown["fieldConfig"]["overrides"]
        if override["matcher"]["options"] in COLUMNS
        for prop in override["properties"]
    }


def test_every_part_of_completeness_is_on_the_board() -> None:
    shown = {
        title_of(panel)
        for row in dead_letters_board().rows
        for panel in row.panels
        if isinstance(panel, SignalPanel)
    }

    assert {"Balance of each group", "Offsets skipped", "Offsets read again"} <= shown
