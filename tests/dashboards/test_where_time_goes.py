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


def _mean(name: str, labels: str, seconds: float, count: int = 1000) -> dict[str, str]:
    """Return the sum and the count of so many values every 30 s."""
    return {
        f"{name}_duration_seconds_sum{{{labels}}}": f"0+{seconds * count:g}x200",
        f"{name}_duration_seconds_count{{{labels}}}": f"0+{count}x200",
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


def _failing(given_up: int) -> dict[str, str]:
    """Return a hop where each of a thousand records succeeds at the fifth attempt, of 10 s each.

    The pauses between them are 1 s, so all is over 55.1 s after the root event: 0.1 s until it is
    published, 1 s of waiting, 50 s of processing and 4 s of pauses. Others wait for 30 s and become
    dead letters after five attempts of 20 s.

    Args:
        given_up: How many others there are.
    """
    hop = _hop("g", "t")
    flow, failed = f'{hop}, pipeline="p"', 'error_type="E"'
    series = _mean("pipeline_end_to_end", f'{flow}, message_type="Placed"', 55.1)
    series |= _mean("pipeline_publish", 'messaging_destination_name="t", pipeline="p"', 0.1)
    waited_s = (1000 * 1 + given_up * 30) / (1000 + given_up)
    series |= _mean("pipeline_wait", flow, waited_s, 1000 + given_up)
    series |= _mean("messaging_process", hop, 10)
    tries = 4000 + 5 * given_up
    failing_s = (4000 * 10 + 5 * given_up * 20) / tries
    series |= _mean("messaging_process", f"{hop}, {failed}", failing_s, tries)
    # From the end of the first attempt to the start of the last: three more, and four pauses.
    series |= _mean("pipeline_retry", flow, 34)
    series |= _mean("pipeline_retry_first_attempt", hop, 10)
    series[f"pipeline_retries_total{{{hop}, {failed}}}"] = f"0+{4000 + 4 * given_up}x200"
    if given_up:
        series |= _mean("pipeline_retry", f"{flow}, {failed}", 64, given_up)
    return series


@pytest.mark.parametrize("given_up", [0, 500])
def test_attempts_that_failed_are_in_one_layer_and_those_of_dead_letters_in_none(
    given_up: int, binaries: Path, tmp_path: Path
) -> None:
    layers = (0, 0.1, 1, 34, 0, 20)
    expected = [
        (f"round(sum({layer.expr(SCOPE)}), 0.001)", seconds)
        for layer, seconds in zip(hop_time.LAYERS, layers, strict=True)
    ]
    expected += [(_row(number, "p g t Placed"), part) for number, part in enumerate(layers)]
    stack = " + ".join(f"sum({layer.expr(SCOPE)})" for layer in hop_time.LAYERS)
    total = f"sum({hop_time.TOTAL.expr(SCOPE)})"
    expected += [(f"round({stack}, 0.001)", 55.1), (f"round({total}, 0.001)", 55.1)]
    check_queries(expected, _failing(given_up), binaries, tmp_path)


def test_a_hop_holds_flows_up_for_as_long_as_its_attempts_take_once(
    binaries: Path, tmp_path: Path
) -> None:
    expected = [(f"round(sum({HELD_UP.expr(SCOPE)}), 0.001)", 55.1)]
    check_queries(expected, _failing(0), binaries, tmp_path)


def test_of_several_attempts_each_has_the_same_share_of_waits_for_resources(
    binaries: Path, tmp_path: Path
) -> None:
    waited = f'{_hop("g", "t")}, resource="database"'
    series = _failing(0) | _mean("pipeline_resource_wait", waited, 4, 5000)
    expected = [
        (f"round(sum({hop_time.LAYERS[number].expr(SCOPE)}), 0.001)", seconds)
        for number, seconds in ((4, 8), (5, 12))
    ]
    expected.append((f"round(sum({hop_time.RESOURCE_WAIT.expr(SCOPE)}), 0.001)", 8))
    check_queries(expected, series, binaries, tmp_path)


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
