"""Retry depth, and topics of dead letters on the map, on given series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from dashboards.config import Config
from dashboards.model.promql import Scope
from dashboards.signals import dead_letters, topology
from tests.dashboards.promtool import check_queries

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SCOPE: Final = Scope.of(Config(), window="10m")


def _with(label: str, value: str) -> str:
    return f'label_replace(vector(1), "{label}", "{value}", "", "")'


def test_the_distribution_of_retries_has_the_records_up_to_each_depth(
    binaries: Path, tmp_path: Path
) -> None:
    series = {
        f'pipeline_retry_attempts_bucket{{messaging_consumer_group_name="g", le="{bound}"}}': values
        for bound, values in (("2", "0+6x200"), ("3", "0+9x200"), ("+Inf", "0+10x200"))
    }
    query = dead_letters.ATTEMPTS_DISTRIBUTION.expr(SCOPE)
    expected = [
        (f"sum({query} and on (le) {_with('le', bound)})", 20.0 * records)
        for bound, records in (("2", 6), ("3", 9), ("+Inf", 10))
    ]
    check_queries(expected, series, binaries, tmp_path)


def test_topics_of_dead_letters_are_red_on_the_map(binaries: Path, tmp_path: Path) -> None:
    series = {
        f'messaging_client_sent_messages_total{{job="s", messaging_destination_name="{topic}"}}': (
            "0+30x200"
        )
        for topic in ("orders", "orders.g.dlq")
    }
    nodes = topology.NODES.expr(SCOPE)
    expected = [
        (f"sum(count by ({label}) ({nodes}) and on ({label}) {_with(label, value)})", 1.0)
        for label, value in (("color", "red"), ("subtitle", "dead letters"))
    ]
    check_queries([*expected, (f"count({nodes})", 3.0)], series, binaries, tmp_path)
