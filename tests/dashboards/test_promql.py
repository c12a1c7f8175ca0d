"""The exact results of queries on given series."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from dashboards.boards.dead_letters import dead_letters_board
from dashboards.config import Config, Objective
from dashboards.model.board import SignalPanel, title_of
from dashboards.model.labels import GROUP, TOPIC
from dashboards.model.promql import Scope
from dashboards.render.panels import expressions_of
from dashboards.signals import (
    between,
    catch_up,
    cluster,
    dead_letters,
    flows,
    hop_time,
    lag,
    late_flows,
    objectives,
    replays,
    sagas,
    services,
    topology,
)
from tracing.metrics import catalog

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SCOPE = Scope.of(Config(), window="10m")
HOP = 'messaging_consumer_group_name="g", messaging_destination_name="t"'
HOPS = ("messaging_consumer_group_name", "messaging_destination_name")
STATUSES = ("ok", "catching_up", "lagging", "stalled", "dead", "abandoned", "unknown")
DEAD_LETTERS = "pipeline_dead_letters_total"
_OVERDUE = 'pipeline_saga_overdue{saga="s"'
_CAUSE = 'pipeline_consumer_cause{messaging_consumer_group_name="g", cause="one_partition"'


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


def _hop(metric: str, total: str, count: str, *labels: str) -> dict[str, str]:
    where = ", ".join((HOP, *labels))
    return {f"{metric}_sum{{{where}}}": total, f"{metric}_count{{{where}}}": count}


def _pipelines(metric: str, **values: tuple[str, str]) -> dict[str, str]:
    """Return the sum and the count of a histogram at one hop, by pipeline."""
    return {
        f'{metric}_{part}{{{HOP}, pipeline="{pipeline}"}}': value
        for pipeline, both in values.items()
        for part, value in zip(("sum", "count"), both, strict=True)
    }


def _hops_of_two_pipelines(metric: str, *labels: str) -> dict[str, str]:
    """Return four hops of which the second is of q only, and a series of each: 1, 10, 100, 1000.

    The first is of p, the third of both, and at the fourth nothing has ever arrived.
    """
    series = {}
    for number, pipelines in enumerate(("p", "q", "pq", "")):
        names = {GROUP: f"g{number}", TOPIC: f"t{number}"}
        hop = ", ".join(f'{label}="{name}"' for label, name in names.items())
        for pipeline in pipelines:
            name = catalog.END_TO_END_DURATION.prometheus
            series[f'{name}_count{{{hop}, pipeline="{pipeline}"}}'] = "0+5x200"
        where = ", ".join((f'{each}="{names[each]}"' if each in names else each) for each in labels)
        grows = "1x200" if "status" in where else f"0x100 {10**number}x100"
        series[f"{metric}{{{where}}}"] = grows
    return series


def _parallel_hops() -> dict[str, str]:
    """Return a root hop that two groups read, and the hop after one of them, of 1,000 flows each.

    Flows are 0.1 s old when `first` begins and 0.4 s when it ends; then they wait 0.2 s more for
    `last`, which takes 0.3 s, of which its handler waits 0.2 s for the database. Meanwhile, `other`
    has taken 0.6 s.
    """
    values = {
        ("first", "events"): {"end_to_end": 0.4, "wait": 0.09, "process": 0.3},
        ("other", "events"): {"end_to_end": 0.7, "wait": 0.09, "process": 0.6},
        ("last", "commands"): {"end_to_end": 0.9, "wait": 0.17, "process": 0.3},
    }
    series = {}
    for (group, topic), means in values.items():
        for name, mean in means.items():
            where = f'messaging_consumer_group_name="{group}", messaging_destination_name="{topic}"'
            full = "messaging_process" if name == "process" else f"pipeline_{name}"
            where += "" if name == "process" else ', pipeline="p"'
            series[f"{full}_duration_seconds_sum{{{where}}}"] = f"0+{mean * 1000:g}x200"
            series[f"{full}_duration_seconds_count{{{where}}}"] = "0+1000x200"
    where = 'messaging_consumer_group_name="last", messaging_destination_name="commands"'
    where += ', resource="database"'
    series[f"pipeline_resource_wait_duration_seconds_sum{{{where}}}"] = "0+200x200"
    series[f"pipeline_resource_wait_duration_seconds_count{{{where}}}"] = "0+1000x200"
    for topic, mean in (("events", 0.01), ("commands", 0.03)):
        where = f'messaging_destination_name="{topic}", pipeline="p"'
        series[f"pipeline_publish_duration_seconds_sum{{{where}}}"] = f"0+{mean * 1000:g}x200"
        series[f"pipeline_publish_duration_seconds_count{{{where}}}"] = "0+1000x200"
    return series


def _edge() -> dict[str, str]:
    """Return a service that sends, one whose handlers fail at times, and one that only receives."""
    sends = 'job="s", messaging_destination_name="t", messaging_operation_name="send"'
    reads, only = (
        'job="r", messaging_destination_name="t"',
        'job="o", messaging_destination_name="t"',
    )
    took = "messaging_process_duration_seconds"
    return {
        f"messaging_client_sent_messages_total{{{sends}}}": "0+30x200",
        f"messaging_client_operation_duration_seconds_sum{{{sends}}}": "0+0.6x200",
        f"messaging_client_operation_duration_seconds_count{{{sends}}}": "0+30x200",
        f"messaging_client_consumed_messages_total{{{reads}}}": "0+60x200",
        f"messaging_client_consumed_messages_total{{{only}}}": "0+90x200",
        f"{took}_sum{{{reads}}}": "0+19x200",
        f"{took}_count{{{reads}}}": "0+70x200",
        f'{took}_sum{{{reads}, error_type="E"}}': "0+1x200",
        f'{took}_count{{{reads}, error_type="E"}}': "0+10x200",
    }


def _reporting(values: str) -> dict[str, str]:
    """Return what every service reports from its start."""
    return {'pipeline_telemetry_dropped_total{job="s", reason="queue"}': values}


def _native_waits() -> dict[str, str]:
    """Return 100 waits a sample, as a native histogram: half up to 1 s, half up to 2.5 s."""
    kind = "schema:-53 custom_values:[1 2.5]"
    return {
        f"pipeline_wait_duration_seconds{{{HOP}}}": f"{{{{{kind} buckets:[0 0 0]}}}}"
        f"+{{{{{kind} sum:150 count:100 buckets:[50 50 0]}}}}x200"
    }


NATIVE = Scope.of(Config(native_histograms=True), window="10m")
A_MINUTE = Scope.of(Config(), window="1m")
BOARD = dead_letters_board()
PANELS = {title_of(panel): panel for _, panel in BOARD.numbered() if isinstance(panel, SignalPanel)}
COUNTS, NUMBER = PANELS["Dead letters by hop"], PANELS["Dead letters"]


def _only(panel: SignalPanel) -> str:
    (query,) = expressions_of(panel, BOARD, Config())
    return query


ONE_PIPELINE = Scope.of(Config(), window="10m", variables=("pipeline",))


def _consumer_dead_for(minutes: int) -> dict[str, str]:
    """Return ten flows a second that arrive in time, until the consumer of the last hop dies."""
    alive = 120 - 2 * minutes
    hop = f'pipeline="p", {HOP}'
    name = catalog.END_TO_END_DURATION.prometheus
    return {
        **{f'{name}_bucket{{{hop}, le="{le}"}}': f"0+300x{alive}" for le in ("5", "+Inf")},
        f"{name}_count{{{hop}}}": f"0+300x{alive}",
        f"pipeline_consumer_lag{{{HOP}}}": f"0x{alive} 0+300x100",
        f"pipeline_consumer_lag_time_seconds{{{HOP}}}": f"0x{alive} 0+30x100",
    }


def _noted(note: str) -> str:
    """Return a query for the lag of a pipeline, if it has that note."""
    noted = f'label_replace(vector(1), "note", "{note}", "", "")'
    return f"{objectives.lateness([Objective()]).expr(SCOPE)} and on (note) {noted}"


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
        about="what a service does before its first export counts, in totals",
        series={
            'messaging_client_consumed_messages_total{instance="before"}': "0+10x100 _x100",
            'messaging_client_consumed_messages_total{instance="after"}': "_x105 1633+30x20",
        },
        expr=f"{SCOPE.rate(catalog.CONSUMED_MESSAGES)} * 600",
        value=1633 + 30 * 15,
    ),
    Case(
        about="what a service does before its first export counts, in means",
        series=_hop(WAIT, "_x105 800+0x20", "_x105 400+0x20"),
        expr=hop_time.WAIT.expr(SCOPE),
        value=2,
    ),
    Case(
        about="a process that restarts as the same series counts from zero",
        series=_dead_letters(a="7x110 3x20"),
        expr=SCOPE.increase(catalog.DEAD_LETTERS, by=HOPS),
        value=3,
    ),
    Case(
        about="sagas that start before a replica's first export count",
        series={
            'pipeline_saga_started_total{saga="s", instance="a"}': "100x105 _x100",
            'pipeline_saga_started_total{saga="s", instance="b"}': "_x110 160x100",
        },
        expr=f"{sagas.STARTED.expr(SCOPE)} * 600",
        value=60,
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
        about="a window over all restarts has what each process counted in the shared store",
        series={
            'pipeline_saga_ended_total{saga="s", outcome="failed", instance="a"}': "_x101 0+1x9",
            'pipeline_saga_ended_total{saga="s", outcome="failed", instance="b"}': "_x111 9+2x20",
        },
        expr=sagas.FAILED.expr(SCOPE),
        value=27,
    ),
    Case(
        about="to a new Prometheus, what an old store has counted is not new",
        series={
            'pipeline_saga_ended_total{saga="s", outcome="failed"}': "_x110 500x5 502x5",
        },
        expr=sagas.FAILED.expr(SCOPE),
        value=2,
    ),
    Case(
        about="a store whose last process has ended keeps what it counted",
        series={'pipeline_saga_ended_total{saga="s", outcome="failed"}': "_x101 3+1x6"},
        expr=sagas.FAILED.expr(SCOPE),
        value=6,
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
    *(
        Case(
            about=f"an edge of the map has its rate, and {about}",
            series=_edge(),
            expr=f"count by (secondarystat, color) ({topology.EDGES.expr(SCOPE)}) and on "
            f'(secondarystat, color) label_replace(label_replace(vector(1), "secondarystat", '
            f'"{stat}", "", ""), "color", "{colour}", "", "")',
            value=1,
        )
        for about, stat, colour in (
            ("how long processing took and failed", "250 ms, 12.5 % failed", "red"),
            ("how long sends took", "20 ms, 0 % failed", ""),
            ("nothing else where nothing else is known", "", ""),
        )
    ),
    Case(
        about="edges of the map have the rates of records",
        series=_edge(),
        expr=topology.EDGES.expr(SCOPE),
        value=1 + 2 + 3,
    ),
    Case(
        about="the time between two points is that from the first group at one to the other",
        series=_parallel_hops(),
        expr=between.BETWEEN.expr(SCOPE).replace("$from", "events").replace("$to", "commands"),
        value=0.5,
    ),
    Case(
        about="replicas are counted by process",
        series={
            f'pipeline_telemetry_dropped_total{{job="s", instance="{name}", reason="{reason}"}}': (
                "0x200"
            )
            for name in "abc"
            for reason in ("queue", "links")
        },
        expr=services.INSTANCES.expr(SCOPE),
        value=3,
    ),
    Case(
        about="processes are counted by version",
        series={
            f'target_info{{job="s", instance="{name}", service_version="{version}"}}': "1x200"
            for name, version in (("a", "1"), ("b", "1"), ("c", "2"))
        },
        expr=f"{services.VERSIONS.expr(SCOPE)} and on (service_version) label_replace("
        'vector(1), "service_version", "1", "", "")',
        value=2,
    ),
    Case(
        about="a handler that works for 27 s in each 30 s has 0.9 records in hand",
        series={f'messaging_process_duration_seconds_sum{{{HOP}, instance="a"}}': "0+27x200"},
        expr=services.IN_HAND.expr(SCOPE),
        value=0.9,
    ),
    Case(
        about="an idle consumer, whose polls wait for seconds, does not make Kafka look slow",
        series={
            f'messaging_client_operation_duration_seconds_bucket{{job="s", le="{bound}", '
            f'messaging_operation_name="{name}"}}': values
            for name, bound, values in (
                ("poll", "0.01", "0x200"),
                ("poll", "5", "0+30x200"),
                ("poll", "+Inf", "0+30x200"),
                ("send", "0.01", "0+30x200"),
                ("send", "5", "0+30x200"),
                ("send", "+Inf", "0+30x200"),
            )
        },
        expr=f"max({cluster.CLIENT_P95.expr(SCOPE)}) < 0.01",
        value=0.0095,
    ),
    Case(
        about="attempts are those of retried records alone, replayed ones among them",
        series={
            f'pipeline_retries_total{{{HOP}, message_type="{name}", error_type="E"}}': "0+6x200"
            for name in ("a", "b")
        }
        | {
            f'pipeline_retry_duration_seconds_count{{{HOP}, pipeline="p"}}': "0+1x200",
            f"pipeline_retry_attempts_sum{{{HOP}}}": "0+16x200",
            f"pipeline_retry_attempts_count{{{HOP}}}": "0+4x200",
        },
        expr=dead_letters.ATTEMPTS.expr(SCOPE),
        value=4,
    ),
    Case(
        about="the partition with the least time left decides",
        series={
            f"pipeline_consumer_retention_left_seconds{{{HOP}, "
            f'messaging_destination_partition_id="{number}"}}': f"{left}x200"
            for number, left in ((0, 600), (1, 60))
        },
        expr=lag.RETENTION_LEFT.expr(SCOPE),
        value=60,
    ),
    Case(
        about="without events, a line says that there are none while something reports",
        series=_reporting("0x200"),
        expr=f"2 + ({_only(COUNTS)})",
        value=2,
    ),
    Case(
        about="without events and reports, the panel is empty",
        series=_reporting("0x60 _x140"),
        expr=f"{_only(COUNTS)} or vector(-1)",
        value=-1,
    ),
    Case(
        about="with events, no line says that there are none",
        series={**_reporting("0x200"), **_dead_letters(a="0+1x200")},
        expr=f"count({_only(COUNTS)})",
        value=1,
    ),
    Case(
        about="a single number is 0 while something reports",
        series=_reporting("0x200"),
        expr=_only(NUMBER),
        value=0,
    ),
    Case(
        about="adjacent bars add up to what was counted, whenever the samples come",
        series=_dead_letters(a="3x104 4x2 _x3 7 7 _ 9x2 _ 11x90"),
        expr=f"sum_over_time(({A_MINUTE.increase(catalog.DEAD_LETTERS)})[10m:1m])",
        value=8,
    ),
    Case(
        about="adjacent bars add up over a restart",
        series=_dead_letters(a="3x104 5x3 _x11", b="_x112 2 2 6x90"),
        expr=f"sum_over_time(({A_MINUTE.increase(catalog.DEAD_LETTERS)})[10m:1m])",
        value=8,
    ),
    Case(
        about="values up to a bound are counted by its bucket",
        series=_buckets(30),
        expr=SCOPE.increase_up_to(1, catalog.WAIT_DURATION, by=HOPS),
        value=1400,
    ),
    Case(
        about="a quantile of a native histogram is interpolated between two bounds",
        series=_native_waits(),
        expr=NATIVE.quantile(0.75, catalog.WAIT_DURATION),
        value=1.75,
    ),
    Case(
        about="the mean of a native histogram is that of its values",
        series=_native_waits(),
        expr=NATIVE.mean(catalog.WAIT_DURATION, by=HOPS),
        value=1.5,
    ),
    Case(
        about="values of a native histogram are counted",
        series=_native_waits(),
        expr=NATIVE.increase(catalog.WAIT_DURATION, by=HOPS, part="count"),
        value=2000,
    ),
    Case(
        about="values of a native histogram are counted up to a bound",
        series=_native_waits(),
        expr=NATIVE.increase_up_to(1, catalog.WAIT_DURATION, by=HOPS),
        value=1000,
    ),
    Case(
        about="without values in a native histogram, none are up to a bound",
        series={
            name: values.replace("sum:150 count:100 buckets:[50 50 0]", "buckets:[0 0 0]")
            for name, values in _native_waits().items()
        },
        expr=NATIVE.increase_up_to(1, catalog.WAIT_DURATION, by=HOPS),
        value=0,
    ),
    Case(
        about="retry time is the mean over all records",
        series={
            **_hop(WAIT, "0+0.1x200", "0+1000x200"),
            **_hop(catalog.RETRY_DURATION.prometheus, "0+60x200", "0+1x200"),
        },
        expr=hop_time.RETRY.expr(SCOPE),
        value=0.06,
    ),
    Case(
        about="processing time is that of the first and the last attempt, by record that succeeded",
        series={
            **_hop(WAIT, "0+0.1x200", "0+10x200"),
            **_hop(catalog.PROCESS_DURATION.prometheus, "0+20x200", "0+10x200"),
            **_hop(catalog.PROCESS_DURATION.prometheus, "0+90x200", "0+30x200", 'error_type="E"'),
            **_hop(catalog.FIRST_ATTEMPT_DURATION.prometheus, "0+5x200", "0+2x200"),
        },
        expr=hop_time.PROCESSING.expr(SCOPE),
        value=2.5,
    ),
    Case(
        about="records that are replayed are among those whose processing time is averaged",
        series={
            **_hop(WAIT, "0+0.1x200", "0+10x200"),
            **_hop(catalog.PROCESS_DURATION.prometheus, "0+505x200", "0+1010x200"),
        },
        expr=hop_time.PROCESSING.expr(SCOPE),
        value=0.5,
    ),
    Case(
        about="records of history are among those whose processing time is averaged",
        series={
            **_hop(WAIT, "0+0.1x200", "0+10x200"),
            **_hop(catalog.PROCESS_DURATION.prometheus, "0+30x200", "0+15x200"),
            f"{catalog.CATCH_UP_RECORDS.prometheus}{{{HOP}}}": "0+5x200",
        },
        expr=hop_time.PROCESSING.expr(SCOPE),
        value=2,
    ),
    *(
        Case(
            about=f"waits are a part of the handling of the same records: {signal.title}",
            series={
                **_hop(WAIT, "0+0.1x200", "0+10x200"),
                **_hop(catalog.PROCESS_DURATION.prometheus, "0+30x200", "0+15x200"),
                **_hop(catalog.RESOURCE_WAIT_DURATION.prometheus, "0+24x200", "0+12x200"),
                f"{catalog.CATCH_UP_RECORDS.prometheus}{{{HOP}}}": "0+5x200",
            },
            expr=f"round({signal.expr(SCOPE)}, 0.001)",
            value=value,
        )
        for signal, value in ((hop_time.RESOURCE_WAIT, 1.6), (hop_time.PROCESSING, 0.4))
    ),
    Case(
        about="with a pipeline chosen, sum and count of a mean are of the same records",
        series={
            **_pipelines(WAIT, p=("0+0.1x200", "0+10x200"), q=("0+0.9x200", "0+90x200")),
            **_hop(catalog.PROCESS_DURATION.prometheus, "0+30x200", "0+100x200"),
        },
        expr=hop_time.PROCESSING.expr(ONE_PIPELINE),
        value=0.3,
    ),
    Case(
        about="hops of another pipeline are not shown",
        series={
            **_pipelines(WAIT, q=("0+0.9x200", "0+90x200")),
            **_hop(catalog.PROCESS_DURATION.prometheus, "0+30x200", "0+100x200"),
        },
        expr=f"{hop_time.PROCESSING.expr(ONE_PIPELINE)} or vector(-1)",
        value=-1,
    ),
    *(
        Case(
            about=f"{signal.title}: without the hops of other pipelines, {value} of {signal.unit}",
            series=_hops_of_two_pipelines(metric.prometheus, *labels),
            expr=f"sum({signal.expr(scope)}) * {factor}",
            value=value,
        )
        for signal, metric, labels, factor in (
            (flows.SENT, catalog.SENT_MESSAGES, (TOPIC,), 600),
            (flows.CONSUMED, catalog.CONSUMED_MESSAGES, (GROUP, TOPIC), 600),
            (topology.EDGES, catalog.SENT_MESSAGES, (TOPIC, 'job="s"'), 600),
            # A sender and each of its topics are nodes.
            (topology.NODES, catalog.SENT_MESSAGES, (TOPIC, 'job="s"'), 300),
            (lag.STALLED_OR_DEAD, catalog.CONSUMER_STATUS, (GROUP, 'status="dead"'), 1),
        )
        for scope, value in (
            (ONE_PIPELINE, 3 if signal is lag.STALLED_OR_DEAD else 1101),
            (SCOPE, 4 if signal is lag.STALLED_OR_DEAD else 1111),
        )
    ),
    Case(
        about="dead letters of a pipeline that is chosen",
        series={
            f'{DEAD_LETTERS}{{{HOP}, pipeline="p"}}': "0x100 3x100",
            f'{DEAD_LETTERS}{{{HOP}, pipeline="q"}}': "0x100 50x100",
        },
        expr=dead_letters.COUNT.expr(ONE_PIPELINE),
        value=3,
    ),
    Case(
        about="what is stacked adds up to the end-to-end lag beside it, without parallel hops",
        series=_parallel_hops(),
        expr=" or ".join(
            f'label_replace({layer.expr(SCOPE)}, "layer", "{number}", "", "")'
            for number, layer in enumerate(hop_time.LAYERS)
        ),
        value=0.9,
    ),
    Case(
        about="the lag beside it is that of the hop with the oldest flows",
        series=_parallel_hops(),
        expr=hop_time.TOTAL.expr(SCOPE),
        value=0.9,
    ),
    *(
        Case(
            about=f"the layer {layer.title} is that of the hop with the oldest flows",
            series=_parallel_hops(),
            expr=layer.expr(SCOPE),
            value=value,
        )
        for layer, value in zip(hop_time.LAYERS, (0.4, 0.03, 0.17, 0, 0.2, 0.1), strict=True)
    ),
    Case(
        about="the time until a group has caught up is that of all its consumers",
        series={
            f'{catalog.CATCH_UP_REMAINING.prometheus}{{{HOP}, instance="{name}"}}': values
            for name, values in (("a", "54900-450x200"), ("b", "36100-300x200"))
        },
        expr=catch_up.TIME_LEFT.expr(SCOPE),
        value=40,
    ),
    Case(
        about="a group whose history does not shrink never catches up",
        series={f"{catalog.CATCH_UP_REMAINING.prometheus}{{{HOP}}}": "900x200"},
        expr=catch_up.TIME_LEFT.expr(SCOPE),
        value=catch_up.NEVER_S,
    ),
    Case(
        about="a group that left all its topics is abandoned",
        series=_statuses(g="abandoned"),
        expr=lag.GROUP_STATUS.expr(SCOPE),
        value=5,
    ),
    *(
        Case(
            about=f"what a process that has ended reported no longer counts: {signal.title}",
            series={
                f'{metric.prometheus}{{{labels}, instance="a"}}': "7x119 _x80",
                f'{metric.prometheus}{{{labels}, instance="b"}}': "_x119 3x80",
            },
            expr=signal.expr(SCOPE),
            value=3,
        )
        for signal, metric, labels in (
            (sagas.OVERDUE, catalog.SAGA_OVERDUE, 'saga="s"'),
            (sagas.ACTIVE, catalog.SAGA_ACTIVE, 'saga="s", state="paying"'),
            (sagas.OLDEST, catalog.SAGA_OLDEST_AGE, 'saga="s"'),
            (
                sagas.OLDEST_IN_STATES,
                catalog.SAGA_STATE_OLDEST_AGE,
                'saga="s", state="paying"',
            ),
            (services.OUTBOX, catalog.OUTBOX_PENDING, 'job="orders"'),
            (services.OUTBOX_AGE, catalog.OUTBOX_OLDEST_AGE, 'job="orders"'),
            (dead_letters.DEPTH, catalog.DEAD_LETTERS_DEPTH, HOP),
            (dead_letters.OLDEST, catalog.DEAD_LETTERS_OLDEST_AGE, HOP),
            (lag.RECORDS, catalog.CONSUMER_LAG, HOP),
            (lag.SECONDS, catalog.CONSUMER_LAG_TIME, HOP),
            (lag.CATCH_UP, catalog.CONSUMER_CATCH_UP_TIME, HOP),
            (lag.RETENTION_USED, catalog.CONSUMER_RETENTION_USED, HOP),
            (lag.RETENTION_LEFT, catalog.CONSUMER_RETENTION_LEFT, HOP),
        )
    ),
    *(
        Case(
            about=f"a newer process without a value overrules one that has ended: {signal.title}",
            series={
                f'{metric.prometheus}{{{labels}, instance="a"}}': "7x115 _x80",
                f'{beside}, instance="a"}}': "0x115 _x80",
                f'{beside}, instance="b"}}': "_x118 0x80",
            },
            expr=f"count({signal.expr(SCOPE)}) or vector(0)",
            value=0,
        )
        for signal, metric, labels, beside in (
            (lag.CATCH_UP, catalog.CONSUMER_CATCH_UP_TIME, HOP, _CAUSE),
            (lag.RETENTION_USED, catalog.CONSUMER_RETENTION_USED, HOP, _CAUSE),
            (lag.RETENTION_LEFT, catalog.CONSUMER_RETENTION_LEFT, HOP, _CAUSE),
        )
    ),
    *(
        Case(
            about=f"of sagas in a store, each that ended counts once: {about}",
            series={
                **{
                    f'pipeline_saga_ended_total{{saga="s", outcome="{outcome}", '
                    f'instance="{name}"}}': values
                    for name, outcome, values in ended
                },
                **{f'{_OVERDUE}, job="o", instance="{name}"}}': "0x200" for name, _, _ in ended},
                f'pipeline_end_to_end_duration_seconds_count{{pipeline="p", job="o", {HOP}}}': (
                    "0+1x200"
                ),
            },
            expr=late_flows.counted(SCOPE, Objective())[2].total,
            value=value,
        )
        for about, ended, value in (
            (
                "a restart",
                (
                    ("a", "completed", "0+10x109 _x90"),
                    ("b", "completed", "_x112 1120+10x90"),
                    ("a", "failed", "0x109 _x90"),
                    ("b", "failed", "_x112 7x90"),
                ),
                207,
            ),
            (
                "two replicas",
                (("a", "completed", "0+10x200"), ("b", "completed", "_x112 1120+10x90")),
                200,
            ),
            ("a new Prometheus and an old store", (("a", "completed", "_x112 1120+10x90"),), 80),
            ("a store that was replaced", (("a", "completed", "900+1x100 0+10x90"),), 0),
        )
    ),
    Case(
        about="a newer process without an active saga overrules one that was killed",
        series={
            'pipeline_saga_active{saga="s", state="paying", instance="a"}': "7x115 _x80",
            f'{_OVERDUE}, instance="a"}}': "0x115 _x80",
            f'{_OVERDUE}, instance="b"}}': "_x118 0x80",
        },
        expr=sagas.ACTIVE.expr(SCOPE),
        value=0,
    ),
    *(
        Case(
            about=f"a process that ended two minutes ago is not added: {signal.title}",
            series={
                f'{metric}{{{labels}, instance="{name}"}}': values
                for name, values in (("a", f"{ended}x116 _x80"), ("b", "_x110 3x80"))
            },
            expr=signal.expr(SCOPE),
            value=value,
        )
        for signal, metric, labels, ended, value in (
            (catch_up.REMAINING, catalog.CATCH_UP_REMAINING.prometheus, HOP, 5, 3),
            (catch_up.RATE, catalog.CATCH_UP_RATE.prometheus, HOP, 5, 3),
            (services.INSTANCES, catalog.TELEMETRY_DROPPED.prometheus, 'job="orders"', 5, 1),
            (replays.REMAINING, catalog.REPLAY_REMAINING.prometheus, 'projection="o"', 5, 3),
            (replays.STALENESS, catalog.PROJECTION_STALENESS.prometheus, 'projection="o"', 5, 3),
            (cluster.REACHABLE, catalog.CLUSTER_REACHABLE.prometheus, 'job="m"', 0, 3),
            (cluster.OFFLINE, catalog.CLUSTER_OFFLINE.prometheus, 'job="m"', 5, 3),
            (services.VERSIONS, "target_info", 'job="orders", service_version="1"', 5, 1),
        )
    ),
    *(
        Case(
            about=f"sagas of one name in two pipelines do not mix: {signal.title}",
            series={
                f'{metric.prometheus}{{pipeline="{name}", saga="s", state="paying"}}': values
                for name, values in (("p", "_x2 7x200"), ("q", "2x119 3x80"))
            },
            expr=f"sum({signal.expr(SCOPE)})",
            value=10,
        )
        for signal, metric in (
            (sagas.ACTIVE, catalog.SAGA_ACTIVE),
            (sagas.OVERDUE, catalog.SAGA_OVERDUE),
            (sagas.OLDEST, catalog.SAGA_OLDEST_AGE),
        )
    ),
    Case(
        about="sagas are active in two states, and nothing is added for none",
        series={
            'pipeline_saga_active{saga="s", state="paying"}': "7x200",
            'pipeline_saga_active{saga="s", state="shipping"}': "2x200",
            f"{_OVERDUE}}}": "0x200",
        },
        expr=f"sum({sagas.ACTIVE.expr(SCOPE)}) * count({sagas.ACTIVE.expr(SCOPE)})",
        value=18,
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
        about="a group for which the cluster does not answer has an unknown status",
        series=_statuses(g="unknown"),
        expr=lag.GROUP_STATUS.expr(SCOPE),
        value=6,
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
        about="groups with an unknown status are not called healthy",
        series=_statuses(g="unknown", h="unknown"),
        expr=f"absent({lag.STALLED_OR_DEAD.expr(SCOPE)})",
        value=1,
    ),
    Case(
        about="the slowest hop counts, not the mean of all",
        series={
            f"pipeline_end_to_end_duration_seconds_bucket"
            f'{{pipeline="p", messaging_destination_name="{topic}", le="{bound}"}}': values
            for topic, in_time in (("early", "0+1000x200"), ("last", "0x200"))
            for bound, values in (("1", in_time), ("30", "0+1000x200"), ("+Inf", "0+1000x200"))
        },
        expr=objectives.lateness([Objective()]).expr(SCOPE),
        value=1 + 0.95 * 29,
    ),
    Case(
        about="while records wait, their age is the lag of the pipeline",
        series=_consumer_dead_for(6),
        expr=_noted("behind by"),
        value=6 * 60 - 30,
    ),
    Case(
        about="when nothing arrives any more, the lag is the age of what waits",
        series=_consumer_dead_for(20),
        expr=_noted("nothing arrives, behind by"),
        value=20 * 60 - 30,
    ),
    Case(
        about="without records that wait, the lag is that of arrivals",
        series=_consumer_dead_for(0),
        expr=_noted("p95"),
        value=5 * 0.95,
    ),
    Case(
        about="what waits for a dead consumer spends the error budget",
        series=_consumer_dead_for(6),
        # 3,300 wait, the youngest of them for less than 5 s; 2,400 arrived.
        expr=objectives.budget_left([Objective(ratio=0.5)]).expr(SCOPE),
        value=1 - 3250 / (2400 + 3250) / 0.5,
    ),
    Case(
        about="sagas that were overdue and have ended since spend the error budget",
        series={
            'pipeline_saga_overdue{pipeline="p", saga="s"}': "0x104 100x8 0x100",
            'pipeline_saga_ended_total{pipeline="p", saga="s", outcome="completed"}': "0x112 200x9",
        },
        expr=objectives.budget_left([Objective(ratio=0.25)]).expr(SCOPE),
        value=1 - 100 / 200 / 0.75,
    ),
    Case(
        about="an error budget that is spent a hundred times over is spent, not at -9900 %",
        series={
            f'pipeline_end_to_end_duration_seconds_bucket{{pipeline="p", le="5", {HOP}}}': "0x200",
            f'pipeline_end_to_end_duration_seconds_count{{pipeline="p", {HOP}}}': "0+300x200",
        },
        expr=objectives.budget_left([Objective()]).expr(SCOPE),
        value=-1,
    ),
    Case(
        about="the error budget of a pipeline without flows is whole",
        series={
            f'pipeline_end_to_end_duration_seconds_bucket{{pipeline="p", le="5", {HOP}}}': "9x200",
            f'pipeline_end_to_end_duration_seconds_count{{pipeline="p", {HOP}}}': "9x200",
        },
        expr=objectives.budget_left([Objective()]).expr(SCOPE),
        value=1,
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


def _as_grafana_sends(query: str) -> str:
    query = re.sub(r"\$(__range|__interval|interval)\b", "10m", query)
    return re.sub(r'"\$(group|destination)"', '".*"', query).replace("$pipeline", "p")


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
                        "expr": f"sum({_as_grafana_sends(case.expr)})",
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
