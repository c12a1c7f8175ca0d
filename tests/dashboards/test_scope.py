"""What queries give, to the number, on series that are known."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from dashboards.config import Config
from dashboards.model.promql import Scope
from dashboards.signals import dead_letters, flows, lag, sagas
from tracing.metrics import catalog

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SCOPE = Scope.of(Config(), window="10m")
HOP = 'messaging_consumer_group_name="g", messaging_destination_name="t"'
HOPS = ("messaging_consumer_group_name", "messaging_destination_name")
LETTERS = "pipeline_dead_letters_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Series with a value every 30 s, a query at 60 minutes, and the one number that it gives."""

    about: str
    series: dict[str, str]
    expr: str
    value: float


def _letters(**values: str) -> dict[str, str]:
    return {f'{LETTERS}{{{HOP}, instance="{name}"}}': value for name, value in values.items()}


def _statuses(**groups: str) -> dict[str, str]:
    return {
        f'pipeline_consumer_status{{messaging_consumer_group_name="{group}", status="{status}"}}': (
            "1x200" if status == its else "0x200"
        )
        for group, its in groups.items()
        for status in ("ok", "lagging", "stalled", "dead")
    }


def _buckets(late: int) -> dict[str, str]:
    """A hundred waits a second, so many of them between 1 s and 2.5 s, the others below 1 s."""
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
        about="a rate of two replicas is what both do",
        series={
            f'messaging_client_sent_messages_total{{instance="{name}"}}': "0+30x200"
            for name in "ab"
        },
        expr=SCOPE.rate(catalog.SENT_MESSAGES),
        value=2,
    ),
    Case(
        about="what is rare and new counts from its first value",
        series=_letters(a="_x110 2x20"),
        expr=SCOPE.increase(catalog.DEAD_LETTERS, by=HOPS),
        value=2,
    ),
    Case(
        about="also where there is one point yet",
        series=_letters(a="_x120 2"),
        expr=SCOPE.increase(catalog.DEAD_LETTERS, by=HOPS),
        value=2,
    ),
    Case(
        about="what was there before does not count again",
        series=_letters(a="7x200"),
        expr=SCOPE.increase(catalog.DEAD_LETTERS, by=HOPS),
        value=0,
    ),
    Case(
        about="nor what was away for an hour",
        series=_letters(a="7x5 _x110 7x20"),
        expr=SCOPE.increase(catalog.DEAD_LETTERS, by=HOPS),
        value=0,
    ),
    Case(
        about="two replicas that began lately count both",
        series=_letters(a="_x110 2x20", b="_x112 3x20"),
        expr=SCOPE.increase(catalog.DEAD_LETTERS, by=HOPS),
        value=5,
    ),
    Case(
        about="what replicas read from one store counts once",
        series={
            f'pipeline_saga_ended_total{{saga="s", outcome="failed", instance="{name}"}}': values
            for name, values in (("a", "4x110 5x20"), ("b", "_x110 5x20"))
        },
        expr=sagas.FAILED.expr(SCOPE),
        value=1,
    ),
    Case(
        about="the lag of a partition that two monitors tell counts once",
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
        about="half of those that are between two bounds lie below the middle",
        series=_buckets(50),
        expr=SCOPE.quantile(0.75, catalog.WAIT_DURATION),
        value=1.75,
    ),
    Case(
        about="retries are told as what they add to all records",
        series={
            **_hop(WAIT, "0+0.1x200", "0+1000x200"),
            **_hop(catalog.RETRY_DURATION.prometheus, "0+60x200", "0+1x200"),
        },
        expr=flows.RETRY.expr(SCOPE),
        value=0.06,
    ),
    Case(
        about="processing is told as what it adds to all records",
        series={
            **_hop(WAIT, "0+0.1x200", "0+10x200"),
            **_hop(catalog.PROCESS_DURATION.prometheus, "0+30x200", "0+15x200"),
        },
        expr=flows.PROCESSING.expr(SCOPE),
        value=3,
    ),
    Case(
        about="a group that is dead is shown as such",
        series=_statuses(g="dead"),
        expr=lag.GROUP_STATUS.expr(SCOPE),
        value=3,
    ),
    Case(
        about="where two monitors see different states, the worse one is shown",
        series={
            f'pipeline_consumer_status{{messaging_consumer_group_name="g", instance="{name}", '
            f'status="{status}"}}': "1x200" if status == its else "0x200"
            for name, its in (("a", "lagging"), ("b", "stalled"))
            for status in ("ok", "lagging", "stalled", "dead")
        },
        expr=lag.GROUP_STATUS.expr(SCOPE),
        value=2,
    ),
    Case(
        about="one stalled and one dead group are two",
        series=_statuses(g="dead", h="stalled", i="ok"),
        expr=lag.STALLED_OR_DEAD.expr(SCOPE),
        value=2,
    ),
    Case(
        about="the slowest hop is shown, not the mean of all",
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
        about="letters come with the command that replays them",
        series={f"pipeline_dead_letters_depth{{{HOP}}}": "4x200"},
        expr=f"count by (command) ({dead_letters.REPLAYABLE.expr(SCOPE)}) "
        "and on (command) label_replace("
        'vector(1), "command", "python -m tracing dlq replay --group g --dry-run", "", "")',
        value=1,
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.about)
def test_a_query_gives(case: Case, binaries: Path, tmp_path: Path) -> None:
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
