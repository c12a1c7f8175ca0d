"""For each alert, series that make it fire and similar series that must not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_HOP: Final = 'messaging_consumer_group_name="g", messaging_destination_name="t"'
_LEFT: Final = 'messaging_consumer_group_name="g", messaging_destination_name="left"'
_LATE: Final = "pipeline_end_to_end_duration_seconds"
_LATE_HOP: Final = 'messaging_consumer_group_name="late", messaging_destination_name="t"'
_STATUS: Final = "pipeline_consumer_status"
_USED: Final = "pipeline_consumer_retention_used_ratio"
_LOST: Final = "pipeline_consumer_lost_total"
_AGE: Final = "pipeline_consumer_lag_time_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Series in promtool's notation, a value every 30 s, and how many alerts fire at `at`.

    If none fires, none may have fired earlier either, unless `before` allows it: to a new
    Prometheus, old events look new.
    """

    alert: str
    about: str
    series: dict[str, str]
    at: str
    firing: int
    before: bool = False


def _arrivals(late_of_1000: int, count: int = 500) -> dict[str, str]:
    """Return arrivals of which that many in a thousand take longer than 5 s."""
    return {
        f'{_LATE}_bucket{{pipeline="orders", le="5", {_HOP}}}': f"0+{1000 - late_of_1000}x{count}",
        f'{_LATE}_count{{pipeline="orders", {_HOP}}}': f"0+1000x{count}",
    }


def _status(status: str, value: str) -> dict[str, str]:
    return {
        f'pipeline_consumer_status{{messaging_consumer_group_name="g", status="{status}"}}': value
    }


def _late_joiner() -> dict[str, str]:
    """Return a group that works off old records, slowly, beside flows that are all in time."""
    return {
        **_arrivals(0),
        f"pipeline_catch_up_records_total{{{_LATE_HOP}}}": "0+3000x500",
        f"pipeline_catch_up_remaining{{{_LATE_HOP}}}": "1500000-3000x500",
        f"pipeline_catch_up_rate_per_second{{{_LATE_HOP}}}": "100x500",
        f"messaging_process_duration_seconds_count{{{_LATE_HOP}}}": "0+3000x500",
        f"messaging_client_consumed_messages_total{{{_LATE_HOP}}}": "0+3000x500",
        f"pipeline_consumer_lag{{{_LATE_HOP}}}": "1500000+300x500",
        f"{_AGE}{{{_LATE_HOP}}}": "0x500",
        f"{_LOST}{{{_LATE_HOP}}}": "0x500",
        **{
            f'{_STATUS}{{messaging_consumer_group_name="late", status="{status}"}}': value
            for status, value in (
                ("ok", "0x500"),
                ("catching_up", "1x500"),
                ("lagging", "0x500"),
                ("stalled", "0x500"),
                ("dead", "0x500"),
            )
        },
    }


def _ended(outcome: str, value: str, instance: str = "a") -> dict[str, str]:
    labels = f'saga="place-order", outcome="{outcome}", instance="{instance}"'
    return {f"pipeline_saga_ended_total{{{labels}}}": value}


def _dead_letters(error: str, value: str, instance: str = "a") -> dict[str, str]:
    named = f', error_type="{error}"' if error else ""
    return {f'pipeline_dead_letters_total{{{_HOP}, instance="{instance}"{named}}}': value}


def _schemas(outcome: str, value: str, version: str = "2") -> dict[str, str]:
    labels = f'job="payment", subject="orders-value", version="{version}", outcome="{outcome}"'
    return {f"pipeline_schema_records_total{{{labels}}}": value}


def _stale(value: str, instance: str = "a") -> dict[str, str]:
    labels = f'job="analytics", projection="orders", instance="{instance}"'
    return {f"pipeline_projection_staleness_seconds{{{labels}}}": value}


def _alive(job: str, value: str, instance: str = "a") -> dict[str, str]:
    labels = f'job="{job}", reason="links", instance="{instance}"'
    return {f"pipeline_telemetry_dropped_total{{{labels}}}": value}


CASES: Final = (
    Case(alert="EndToEndErrorBudgetFastBurn", about="half are late", series=_arrivals(500),
         at="30m", firing=1),
    Case(alert="EndToEndErrorBudgetFastBurn", about="one in ten is late", series=_arrivals(100),
         at="30m", firing=0),
    Case(
        alert="EndToEndErrorBudgetFastBurn",
        about="flows were late and no longer are",
        series={
            f'{_LATE}_bucket{{pipeline="orders", le="5"}}': "0+500x60 30000+1000x40",
            f'{_LATE}_count{{pipeline="orders"}}': "0+1000x100",
        },
        at="42m",
        firing=0,
        before=True,
    ),
    Case(
        alert="EndToEndErrorBudgetFastBurn",
        about="too few flows, all late",
        series={
            f'{_LATE}_bucket{{pipeline="orders", le="5"}}': "0x200",
            f'{_LATE}_count{{pipeline="orders"}}': "0 0 0 1 1 1 1 2 2 2 2x190",
        },
        at="60m",
        firing=0,
    ),
    Case(alert="EndToEndErrorBudgetMediumBurn", about="one in ten is late", series=_arrivals(100),
         at="2h", firing=1),
    Case(alert="EndToEndErrorBudgetMediumBurn", about="one in fifty is late", series=_arrivals(20),
         at="2h", firing=0),
    Case(alert="EndToEndErrorBudgetSlowBurn", about="one in fifty is late", series=_arrivals(20),
         at="4h", firing=1),
    Case(alert="EndToEndErrorBudgetSlowBurn", about="as many late as allowed", series=_arrivals(9),
         at="4h", firing=0),
    Case(alert="ConsumerStalled", about="members commit nothing",
         series=_status("stalled", "1x20"), at="5m", firing=1),
    Case(alert="ConsumerStalled", about="the group lags but commits",
         series={**_status("stalled", "0x20"), **_status("lagging", "1x20")}, at="5m", firing=0),
    Case(alert="ConsumerStalled", about="the group has no members", series=_status("dead", "1x20"),
         at="5m", firing=1),
    Case(alert="ConsumerStalled", about="members come and go and commit nothing",
         series={**_status("stalled", "1 1 0 0 1 1 0 0 1 1 0 0"),
                 **_status("dead", "0 0 1 1 0 0 1 1 0 0 1 1")}, at="5m", firing=1),
    Case(alert="ConsumerStalled", about="the group had no members for a minute",
         series=_status("dead", "0x4 1x2 0x20"), at="5m", firing=0),
    Case(alert="ConsumerStalled", about="the group has left its topics",
         series={**_status("stalled", "0x20"), **_status("dead", "0x20"),
                 **_status("abandoned", "1x20")}, at="5m", firing=0),
    Case(alert="RetentionNearlyUsed", about="one partition of two nears the limit",
         series={f'{_USED}{{{_HOP}, messaging_destination_partition_id="{number}"}}': values
                 for number, values in (("0", "0.7+0.01x40"), ("1", "0x40"))},
         at="10m", firing=1),
    Case(alert="RetentionNearlyUsed", about="half of it is used",
         series={f"{_USED}{{{_HOP}}}": "0.5x40"}, at="10m", firing=0),
    Case(alert="RecordsLost", about="some, after the monitor started",
         series={f"{_LOST}{{{_HOP}}}": "0x40 7x40"}, at="25m", firing=1),
    Case(alert="RecordsLost", about="some of two partitions while the monitor was down",
         series={f'{_LOST}{{{_HOP}, messaging_destination_partition_id="{number}", {rest}}}': values
                 for number, rest, values in (("0", 'instance="a"', "2x40 _x80"),
                                              ("1", 'instance="a"', "9x40 _x80"),
                                              ("0", 'instance="b"', "_x50 7x80"),
                                              ("1", 'instance="b"', "_x50 0x80"))},
         at="27m", firing=1),
    Case(alert="RecordsLost", about="the monitor restarted, and the group is still behind",
         series={f'{_LOST}{{{_HOP}, instance="{name}"}}': values
                 for name, values in (("a", "7x80 _x80"), ("b", "_x82 7x80"))},
         at="45m", firing=0),
    Case(alert="RecordsLost", about="some before the first monitor ever",
         series={f"{_LOST}{{{_HOP}}}": "_x40 7x40"}, at="25m", firing=0),
    Case(alert="RecordsLost", about="none", series={f"{_LOST}{{{_HOP}}}": "0x80"}, at="25m",
         firing=0),
    Case(alert="LagMonitorDown", about="it stopped",
         series=_status("ok", "1x20 _x60"), at="25m", firing=1),
    Case(alert="LagMonitorDown", about="it stopped more than a day ago",
         series=_status("ok", "1x20 _x1600"), at="27h", firing=1),
    Case(alert="LagMonitorDown", about="it never ran", series={}, at="25m", firing=0),
    Case(alert="LagMonitorDown", about="another monitor took over",
         series={f'pipeline_consumer_status{{status="ok", instance="{name}"}}': values
                 for name, values in (("a", "1x20 _x60"), ("b", "_x18 1x60"))},
         at="35m", firing=0),
    Case(
        alert="ConsumerLagGrowing",
        about="one partition of two falls behind",
        series={
            f'{_AGE}{{{_HOP}, messaging_destination_partition_id="0"}}': "300+30x100",
            f'{_AGE}{{{_HOP}, messaging_destination_partition_id="1"}}': "0x100",
        },
        at="45m",
        firing=1,
    ),
    Case(alert="ConsumerLagGrowing", about="the group is behind but catches up",
         series={f"{_AGE}{{{_HOP}}}": "9000-30x100"}, at="45m", firing=0),
    *(
        Case(alert=alert, about="a late joiner works off history", series=_late_joiner(), at="4h",
             firing=0)
        for alert in (
            "EndToEndErrorBudgetFastBurn",
            "EndToEndErrorBudgetMediumBurn",
            "EndToEndErrorBudgetSlowBurn",
            "ConsumerStalled",
            "ConsumerLagGrowing",
            "RetentionNearlyUsed",
            "RecordsLost",
        )
    ),
    Case(alert="ConsumerStalled", about="a late joiner halts",
         series={**_status("stalled", "0x9 1x20"), **_status("catching_up", "1x9 0x20")},
         at="10m", firing=1),
    Case(alert="ConsumerLagGrowing", about="the group has left a topic, which grows",
         series={f"{_AGE}{{{_HOP}}}": "0x100",
                 f"pipeline_consumer_abandoned{{{_LEFT}}}": "300+30x100"},
         at="45m", firing=0),
    Case(alert="DeadLettersGrowing", about="the first of its error, a new series",
         series={**_dead_letters("", "0x80"), **_dead_letters("ConnectionError", "_x40 1x40")},
         at="25m", firing=1),
    Case(alert="DeadLettersGrowing", about="a new one after a restart",
         series=_dead_letters("ConnectionError", "9x40 0x2 1x40"), at="25m", firing=1),
    Case(alert="DeadLettersGrowing", about="the first ones, minutes after a restart",
         series={**_dead_letters("E", "9x40 _x60", "a"), **_dead_letters("", "_x40 0x60", "b"),
                 **_dead_letters("E", "_x54 3x46", "b")}, at="28m", firing=1),
    Case(alert="DeadLettersGrowing", about="some in the first metrics of a process",
         series=_dead_letters("E", "_x40 2x60"), at="21m", firing=1),
    Case(alert="DeadLettersGrowing", about="a gap in the metrics of a replica",
         series={**_dead_letters("E", "100x140", "a"),
                 **_dead_letters("E", "100x40 _x30 100x70", "b")},
         at="42m", firing=0, before=True),
    Case(alert="DeadLettersGrowing", about="only old ones after a restart",
         series=_dead_letters("ConnectionError", "9x40 0x40"), at="25m", firing=0, before=True),
    Case(alert="DecodeFailures", about="the first messages of a version that does not fit",
         series={**_schemas("read", "0+10x80"), **_schemas("undecodable", "0x40 3x40")},
         at="25m", firing=1),
    Case(alert="DecodeFailures", about="an unknown id in the first metrics of a process",
         series=_schemas("unknown_id", "_x40 1x60", version="unknown"), at="21m", firing=1),
    Case(alert="DecodeFailures", about="two versions that do not fit",
         series={**_schemas("undecodable", "0x40 3x40", version="2"),
                 **_schemas("undecodable", "0x40 5x40", version="3")}, at="25m", firing=2),
    Case(alert="DecodeFailures", about="a new version that is read",
         series={**_schemas("read", "_x40 0+10x80"), **_schemas("undecodable", "_x40 0x80"),
                 **_schemas("written", "_x40 0+10x80")}, at="30m", firing=0),
    Case(alert="DecodeFailures", about="a failure long ago",
         series=_schemas("undecodable", "0x40 3x100"), at="50m", firing=0, before=True),
    Case(alert="DeadLetterAgeHigh", about="older than a day",
         series={f"pipeline_dead_letters_oldest_age_seconds{{{_HOP}}}": "90000+30x60"}, at="20m",
         firing=1),
    Case(alert="DeadLetterAgeHigh", about="an hour old",
         series={f"pipeline_dead_letters_oldest_age_seconds{{{_HOP}}}": "3600+30x60"}, at="20m",
         firing=0),
    Case(alert="ReadModelStale", about="its consumer is stalled",
         series={**_stale("0x10 0+30x60"), **_stale("0x10 0+30x60", "b")}, at="20m", firing=1),
    Case(alert="ReadModelStale", about="one of two replicas knows only a lower bound",
         series={**_stale("0x10 0+30x60"), **_stale("0x10 2x60", "b")}, at="20m", firing=1),
    Case(alert="ReadModelStale", about="an idle topic", series=_stale("0x80"), at="30m", firing=0),
    Case(alert="ReadModelStale", about="it is late for four minutes",
         series=_stale("0x10 0+30x8 0x60"), at="30m", firing=0),
    Case(alert="SagaOverdue", about="two replicas report the same",
         series={f'pipeline_saga_overdue{{saga="s", instance="{n}"}}': "2x40" for n in "ab"},
         at="10m", firing=1),
    Case(alert="SagaOverdue", about="overdue for a minute only",
         series={'pipeline_saga_overdue{saga="s"}': "0x4 1x2 0x40"}, at="10m", firing=0),
    Case(alert="SagaFailed", about="one failed, two replicas report it",
         series={**_ended("failed", "0x20 1x20"), **_ended("failed", "0x20 1x20", "b")}, at="12m",
         firing=1),
    Case(alert="SagaFailed", about="one failed during a restart",
         series={**_ended("failed", "3x40 _x60"), **_ended("failed", "_x42 4x60", "b")}, at="25m",
         firing=1),
    Case(alert="SagaFailed", about="one failed after a restart, without a store",
         series={**_ended("failed", "3x40 _x60"), **_ended("failed", "_x42 0x20 1x40", "b")},
         at="35m", firing=1),
    Case(alert="SagaFailed", about="one in the first metrics, without a store",
         series={**_ended("failed", "3x40 _x60"), **_ended("failed", "_x42 1x60", "b")}, at="28m",
         firing=1),
    Case(alert="SagaFailed", about="one failed in a gap of hours",
         series={**_ended("failed", "3x40 _x360"), **_ended("failed", "_x260 4x140", "b")},
         at="135m", firing=1),
    Case(alert="SagaFailed", about="one failed long ago, before a restart",
         series={**_ended("failed", "3x40 _x60"), **_ended("failed", "_x42 3x60", "b")}, at="50m",
         firing=0),
    Case(alert="SagaCompensationRateHigh", about="two of three",
         series={**_ended("compensated", "0+2x80"), **_ended("completed", "0+1x80")}, at="30m",
         firing=1),
    Case(alert="SagaCompensationRateHigh", about="one of ten",
         series={**_ended("compensated", "0+1x80"), **_ended("completed", "0+9x80")}, at="30m",
         firing=0),
    Case(alert="SagaCompensationRateHigh", about="two of two, too few to judge",
         series={**_ended("compensated", "0x50 2x30"), **_ended("completed", "0x80")}, at="30m",
         firing=0),
    Case(alert="OutboxStuck", about="the oldest waits for six minutes",
         series={'pipeline_outbox_oldest_age_seconds{job="orders"}': "0+30x40"}, at="15m",
         firing=1),
    Case(alert="OutboxStuck", about="messages are sent every minute",
         series={'pipeline_outbox_oldest_age_seconds{job="orders"}': "60x40"}, at="15m", firing=0),
    Case(alert="TelemetryDropped", about="continuously",
         series={'pipeline_telemetry_dropped_total{job="orders", reason="send"}': "0+1x100"},
         at="40m", firing=1),
    Case(alert="TelemetryDropped", about="only briefly",
         series={'pipeline_telemetry_dropped_total{job="orders", reason="send"}': "0x20 7x10 7x5"},
         at="17m", firing=0),
    Case(alert="TelemetryDropped", about="links of large batches, dropped on purpose",
         series={'pipeline_telemetry_dropped_total{job="orders", reason="links"}': "0+1x100"},
         at="40m", firing=0),
    Case(alert="ServiceNotReporting", about="one of two services stopped",
         series={**_alive("orders", "0x20 _x80"), **_alive("payment", "0x100")}, at="30m",
         firing=1),
    Case(alert="ServiceNotReporting", about="a command that ended normally",
         series={**_alive("dlq", "0x3 _x80"), **_alive("payment", "0x100")}, at="30m", firing=0),
    Case(alert="ServiceNotReporting", about="a new process took over",
         series={**_alive("orders", "0x20 _x80"), **_alive("orders", "_x24 0x80", "b")}, at="50m",
         firing=0),
    Case(alert="TelemetryAbsent", about="no service reports", series={}, at="15m", firing=1),
    Case(alert="TelemetryAbsent", about="an idle service that only receives",
         series=_alive("analytics", "0x100"), at="15m", firing=0),
)  # fmt: skip
