"""Where the time of a flow goes: the waterfall of a mean flow, and the hop that holds flows up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from dashboards.config import Config
from dashboards.model.promql import Scope
from dashboards.signals import hop_time, mean_flow
from dashboards.signals.held_up import HELD_UP
from tests.dashboards.promtool import check_queries

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SCOPE: Final = Scope.of(Config(), window="10m")


def _hop(group: str, topic: str) -> str:
    return f'messaging_consumer_group_name="{group}", messaging_destination_name="{topic}"'


def _mean(name: str, labels: str, seconds: float) -> dict[str, str]:
    """Return the sum and the count of a thousand values every 30 s."""
    return {
        f"{name}_duration_seconds_sum{{{labels}}}": f"0+{seconds * 1000:g}x200",
        f"{name}_duration_seconds_count{{{labels}}}": "0+1000x200",
    }


def _flow() -> dict[str, str]:
    """Return a root hop that two groups read at once, and the hop after the first of them.

    Flows are 0.1 s old when `first` begins and 0.4 s when it ends; then they wait 0.2 s more for
    `last`, which takes 0.3 s, of which its handler waits 0.2 s for the database and 0.05 s for a
    lock. Meanwhile, `other` has taken 0.6 s.
    """
    series: dict[str, str] = {}
    for group, topic, name, age, wait, took in (
        ("first", "events", "Placed", 0.4, 0.09, 0.3),
        ("other", "events", "Placed", 0.7, 0.09, 0.6),
        ("last", "commands", "Ship", 0.9, 0.17, 0.3),
    ):
        hop = _hop(group, topic)
        kind = f'{hop}, pipeline="p", message_type="{name}"'
        series |= _mean("pipeline_end_to_end", kind, age)
        series |= _mean("pipeline_wait", f'{hop}, pipeline="p"', wait)
        series |= _mean("messaging_process", hop, took)
    for resource, seconds in (("database", 0.2), ("lock", 0.05)):
        waited = f'{_hop("last", "commands")}, resource="{resource}"'
        series |= _mean("pipeline_resource_wait", waited, seconds)
    for topic, seconds in (("events", 0.01), ("commands", 0.03)):
        series |= _mean(
            "pipeline_publish", f'messaging_destination_name="{topic}", pipeline="p"', seconds
        )
    return series


def _row(number: int, stop: str) -> str:
    row = f'label_replace(vector(1), "stop", "{stop}", "", "")'
    part = f"sum({mean_flow.PARTS[number].expr(SCOPE)} and on (stop) {row})"
    return f"round({part}, 0.001)"


@pytest.mark.parametrize(
    ("stop", "parts"),
    [
        ("p first events Placed", (0, 0.01, 0.09, 0, 0, 0.3)),
        ("p other events Placed", (0, 0.01, 0.09, 0, 0, 0.6)),
        ("p last commands Ship", (0.4, 0.03, 0.17, 0, 0.25, 0.05)),
    ],
)
def test_each_row_of_the_waterfall_adds_up_to_the_age_of_flows(
    stop: str, parts: tuple[float, ...], binaries: Path, tmp_path: Path
) -> None:
    expected = [(_row(number, stop), part) for number, part in enumerate(parts)]
    check_queries(expected, _flow(), binaries, tmp_path)


def test_waits_of_handlers_that_have_not_ended_do_not_lengthen_a_row(
    binaries: Path, tmp_path: Path
) -> None:
    waited = f'{_hop("last", "commands")}, resource="quota"'
    series = _flow() | _mean("pipeline_resource_wait", waited, 2)
    parts = (0.4, 0.03, 0.17, 0, 0.3, 0)
    expected = [(_row(number, "p last commands Ship"), part) for number, part in enumerate(parts)]
    check_queries(expected, series, binaries, tmp_path)


def test_waits_of_handlers_are_beside_their_processing_by_resource(
    binaries: Path, tmp_path: Path
) -> None:
    last = 'label_replace(vector(1), "messaging_consumer_group_name", "last", "", "")'

    def at_last(query: str) -> str:
        return f"round(sum({query} and on (messaging_consumer_group_name) {last}), 0.001)"

    def of(resource: str) -> str:
        named = f'label_replace(vector(1), "resource", "{resource}", "", "")'
        return f"round(sum({hop_time.RESOURCE_WAIT.expr(SCOPE)} and on (resource) {named}), 0.001)"

    expected = [
        (of("database"), 0.2),
        (of("lock"), 0.05),
        (at_last(hop_time.RESOURCE_WAIT.expr(SCOPE)), 0.25),
        (at_last(hop_time.PROCESSING.expr(SCOPE)), 0.05),
        # Without waits, all of the handling is processing.
        (f"round(sum({hop_time.PROCESSING.expr(SCOPE)}), 0.001)", 0.3 + 0.6 + 0.05),
    ]
    check_queries(expected, _flow(), binaries, tmp_path)


def test_of_a_hub_each_type_of_message_is_a_row(binaries: Path, tmp_path: Path) -> None:
    series: dict[str, str] = {}
    for name, age in (("Placed", 1), ("Cancelled", 9)):
        kind = f'{_hop("g", "t")}, pipeline="p", message_type="{name}"'
        series |= _mean("pipeline_end_to_end", kind, age)
    expected = [(_row(0, "p g t Placed"), 1.0), (_row(0, "p g t Cancelled"), 9.0)]
    check_queries(expected, series, binaries, tmp_path)


def test_while_all_process_the_slowest_hop_holds_flows_up(binaries: Path, tmp_path: Path) -> None:
    query = HELD_UP.expr(SCOPE)
    other = 'messaging_consumer_group_name="other"'
    slowest = f"sum(topk(1, {query}) and on (messaging_consumer_group_name) group by "
    slowest += f"(messaging_consumer_group_name) (pipeline_wait_duration_seconds_count{{{other}}}))"
    check_queries([(slowest, 0.7), (f"sum({query})", 0.4 + 0.7 + 0.5)], _flow(), binaries, tmp_path)


def test_a_hop_that_processes_nothing_holds_flows_up_for_the_age_of_what_waits(
    binaries: Path, tmp_path: Path
) -> None:
    last = _hop("last", "commands")
    series = {name: values for name, values in _flow().items() if "last" not in name}
    # It processed until 20 minutes ago.
    ended = {f'pipeline_end_to_end_duration_seconds_count{{{last}, pipeline="p"}}': "0+10x80"}
    behind = {f"pipeline_consumer_lag_time_seconds{{{last}}}": "0x80 0+30x100"}
    check_queries(
        [(f"sum(topk(1, {HELD_UP.expr(SCOPE)}))", 1170.0)],
        series | ended | behind,
        binaries,
        tmp_path,
    )
