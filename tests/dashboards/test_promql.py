"""The exact results of queries on given series."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from dashboards.config import Config
from dashboards.model.promql import Scope
from dashboards.signals import catch_up, dead_letters, flows, lag, sagas
from tracing.metrics import catalog

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SCOPE = Scope.of(Config(), window="10m")
HOP = 'messaging_consumer_group_name="g", messaging_destination_name="t"'
HOPS = ("messaging_consumer_group_name", "messaging_destination_name")
STATUSES = ("ok", "catching_up", "lagging", "stalled", "dead")
DEAD_LETTERS = "pipeline_dead_letters_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Series with a value every 30 s, and a query with its result at 60 minutes."""

    about: str
    series: dict[str, str]
    expr: str
    value: float


def _dead_letters(**values: str) -> dict[str, str]:
    return {f'{DEAD_LETTERS}{{{HOP}, instance="{name}"}}': value for name, value in values.items()}


def _statuses(**groups: str) -> dict[str, str]:
    return {
        f'pipeline_consumer_status{{messaging_consumer_group_name="{group}", status="{status}"}}': (
            "1x200" if status == its else "0x200"
        )
        for group, its in groups.items()
        for status in STATUSES
    }


def _buckets(late: int) -> dict[str, str]:
    """Return waits of which that many in a hundred take 1 s to 2.5 s, the others less than 1 s."""
    name = "pipeline_wait_duration_seconds_bucket"
    return {
        f'{name}{{{HOP}, le="1"}}': f"0+{100 - late}x200",
        f'{name}{{{HOP}, le="2.5"}}': "0+100x200",
        f'{name}{{{HOP}, le="+Inf"}}': "0+100x200",
    }


def _hop(metric: str, total: str, count: str) -> dict[str, str]:
    return {f"{metric}_sum{{{HOP}}}": total, f"{metric}_count{{{HOP}}}": count}


WAIT = catalog.WAIT_DURATION.prometheus
CASES = (
    Case(
        about="rates of replicas add up",
        series={
            f'messaging_client_sent_messages_total{{instance="{name}"}}': "0+30x200"
            for name in "ab"
        },
        expr=SCOPE.rate(catalog.SENT_MESSAGES),
        value=2,
    ),
    Case(
        about="the first value of a new series counts",
        series=_dead_letters(a="_x110 2x20"),
        expr=SCOPE.increase(catalog.DEAD_LETTERS, by=HOPS),
        value=2,
    ),
    Case(
        about="the first value counts even if it is the only one",
        series=_dead_letters(a="_x120 2"),
        expr=SCOPE.increase(catalog.DEAD_LETTERS, by=HOPS),
        value=2,
    ),
    Case(
        about="old values do not count again",
        series=_dead_letters(a="7x200"),
        expr=SCOPE.increase(catalog.DEAD_LETTERS, by=HOPS),
        value=0,
    ),
    Case(
        about="values from before a gap of an hour do not count again",
        series=_dead_letters(a="7x5 _x110 7x20"),
        expr=SCOPE.increase(catalog.DEAD_LETTERS, by=HOPS),
        value=0,
    ),
    Case(
        about="two new replicas both count",
        series=_dead_letters(a="_x110 2x20", b="_x112 3x20"),
        expr=SCOPE.increase(catalog.DEAD_LETTERS, by=HOPS),
        value=5,
    ),
    Case(
        about="a count that replicas share counts once",
        series={
            f'pipeline_saga_ended_total{{saga="s", outcome="failed", instance="{name}"}}': values
            for name, values in (("a", "4x110 5x20"), ("b", "_x110 5x20"))
        },
        expr=sagas.FAILED.expr(SCOPE),
        value=1,
    ),
    Case(
        about="a partition that two monitors report counts once",
        series={
            f'pipeline_consumer_lag{{{HOP}, messaging_destination_partition_id="{number}", '
            f'instance="{name}"}}': f"{number}x200"
            for number in (3, 4)
            for name in "ab"
        },
        expr=lag.RECORDS.expr(SCOPE),
        value=7,
    ),
    Case(
        about="a quantile is interpolated between two bounds",
        series=_buckets(50),
        expr=SCOPE.quantile(0.75, catalog.WAIT_DURATION),
        value=1.75,
    ),
    Case(
        about="retry time is the mean over all records",
        series={
            **_hop(WAIT, "0+0.1x200", "0+1000x200"),
            **_hop(catalog.RETRY_DURATION.prometheus, "0+60x200", "0+1x200"),
        },
        expr=flows.RETRY.expr(SCOPE),
        value=0.06,
    ),
    Case(
        about="processing time is the mean over all records",
        series={
            **_hop(WAIT, "0+0.1x200", "0+10x200"),
            **_hop(catalog.PROCESS_DURATION.prometheus, "0+30x200", "0+15x200"),
        },
        expr=flows.PROCESSING.expr(SCOPE),
        value=3,
    ),
    Case(
        about="records of history are among those whose processing time is averaged",
        series={
            **_hop(WAIT, "0+0.1x200", "0+10x200"),
            **_hop(catalog.PROCESS_DURATION.prometheus, "0+30x200", "0+15x200"),
            f"{catalog.CATCH_UP_RECORDS.prometheus}{{{HOP}}}": "0+5x200",
        },
        expr=flows.PROCESSING.expr(SCOPE),
        value=2,
    ),
    Case(
        about="the time until a group has caught up is that of all its consumers",
        series={
            f'{metric.prometheus}{{{HOP}, instance="{name}"}}': f"{value}x200"
            for metric, values in (
                (catalog.CATCH_UP_REMAINING, (900, 100)),
                (catalog.CATCH_UP_RATE, (15, 10)),
            )
            for name, value in zip("ab", values, strict=True)
        },
        expr=catch_up.TIME_LEFT.expr(SCOPE),
        value=40,
    ),
    Case(
        about="a group that works off history is catching up",
        series=_statuses(g="catching_up"),
        expr=lag.GROUP_STATUS.expr(SCOPE),
        value=1,
    ),
    Case(
        about="a dead group has the status dead",
        series=_statuses(g="dead"),
        expr=lag.GROUP_STATUS.expr(SCOPE),
        value=4,
    ),
    Case(
        about="if two monitors disagree, the worse status wins",
        series={
            f'pipeline_consumer_status{{messaging_consumer_group_name="g", instance="{name}", '
            f'status="{status}"}}': "1x200" if status == its else "0x200"
            for name, its in (("a", "lagging"), ("b", "stalled"))
            for status in STATUSES
        },
        expr=lag.GROUP_STATUS.expr(SCOPE),
        value=3,
    ),
    Case(
        about="stalled and dead groups are added up",
        series=_statuses(g="dead", h="stalled", i="ok"),
        expr=lag.STALLED_OR_DEAD.expr(SCOPE),
        value=2,
    ),
    Case(
        about="the slowest hop counts, not the mean of all",
        series={
            f"pipeline_end_to_end_duration_seconds_bucket"
            f'{{pipeline="p", messaging_destination_name="{topic}", le="{bound}"}}': values
            for topic, in_time in (("early", "0+1000x200"), ("last", "0x200"))
            for bound, values in (("1", in_time), ("30", "0+1000x200"), ("+Inf", "0+1000x200"))
        },
        expr=flows.slowest_arrival(5).expr(SCOPE),
        value=1 + 0.95 * 29,
    ),
    Case(
        about="dead letters have a label with the replay command",
        series={f"pipeline_dead_letters_depth{{{HOP}}}": "4x200"},
        expr=f"count by (command) ({dead_letters.REPLAYABLE.expr(SCOPE)}) "
        "and on (command) label_replace("
        'vector(1), "command", "python -m tracing dlq replay --group g --dry-run", "", "")',
        value=1,
    ),
    Case(
        about="a group whose name a shell would run has dead letters and no command",
        series={
            f'pipeline_dead_letters_depth{{messaging_consumer_group_name="{group}"}}': "4x200"
            for group in ("x $(touch pwned)", "--yes")
        },
        expr=f"{dead_letters.REPLAYABLE.expr(SCOPE)} and on (command) vector(1)",
        value=8,
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.about)
def test_a_query_returns(case: Case, binaries: Path, tmp_path: Path) -> None:
    document = {
        "evaluation_interval": "30s",
        "fuzzy_compare": True,
        "tests": [
            {
                "interval": "30s",
                "input_series": [{"series": k, "values": v} for k, v in case.series.items()],
                "promql_expr_test": [
                    {
                        "expr": f"sum({case.expr})",
                        "eval_time": "60m",
                        "exp_samples": [{"labels": "{}", "value": case.value}],
                    }
                ],
            }
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(json.dumps(document))
    done = subprocess.run(
        [binaries / "promtool", "test", "rules", file], check=False, capture_output=True, text=True
    )
    assert 0 == done.returncode, done.stdout + done.stderr
