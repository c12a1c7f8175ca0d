"""For each alert what makes it fire, and what looks like it and must not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_HOP: Final = 'messaging_consumer_group_name="g", messaging_destination_name="t"'
_LATE: Final = "pipeline_end_to_end_duration_seconds"
_AGE: Final = "pipeline_consumer_lag_time_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Series, a value every 30 s in promtool's notation, and how many alerts fire at a moment.

    Where none is to fire, none has at any time before either, unless `before` says so: to a
    Prometheus that has just begun to look, what is old is new.
    """

    alert: str
    about: str
    series: dict[str, str]
    at: str
    firing: int
    before: bool = False


def _arrivals(late_of_1000: int, count: int = 500) -> dict[str, str]:
    """So many of a thousand arrivals that come later than 5 s."""
    return {
        f'{_LATE}_bucket{{pipeline="orders", le="5", {_HOP}}}': f"0+{1000 - late_of_1000}x{count}",
        f'{_LATE}_count{{pipeline="orders", {_HOP}}}': f"0+1000x{count}",
    }


def _status(status: str, value: str) -> dict[str, str]:
    return {
        f'pipeline_consumer_status{{messaging_consumer_group_name="g", status="{status}"}}': value
    }


def _ended(outcome: str, value: str, instance: str = "a") -> dict[str, str]:
    labels = f'saga="place-order", outcome="{outcome}", instance="{instance}"'
    return {f"pipeline_saga_ended_total{{{labels}}}": value}


def _letters(error: str, value: str, instance: str = "a") -> dict[str, str]:
    named = f', error_type="{error}"' if error else ""
    return {f'pipeline_dead_letters_total{{{_HOP}, instance="{instance}"{named}}}': value}


def _alive(job: str, value: str, instance: str = "a") -> dict[str, str]:
    labels = f'job="{job}", reason="links", instance="{instance}"'
    return {f"pipeline_telemetry_dropped_total{{{labels}}}": value}


CASES: Final = (
    Case(alert="EndToEndErrorBudgetFastBurn", about="half is late", series=_arrivals(500), at="30m",
         firing=1),
    Case(alert="EndToEndErrorBudgetFastBurn", about="one in ten is late", series=_arrivals(100),
         at="30m", firing=0),
    Case(
        alert="EndToEndErrorBudgetFastBurn",
        about="it was late, and is not any more",
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
        about="all few of them are late",
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
    Case(alert="EndToEndErrorBudgetSlowBurn", about="as many as are allowed", series=_arrivals(9),
         at="4h", firing=0),
    Case(alert="ConsumerStalled", about="members commit nothing",
         series=_status("stalled", "1x20"), at="5m", firing=1),
    Case(alert="ConsumerStalled", about="it lags, and commits",
         series={**_status("stalled", "0x20"), **_status("lagging", "1x20")}, at="5m", firing=0),
    Case(alert="ConsumerStalled", about="there are no members", series=_status("dead", "1x20"),
         at="5m", firing=1),
    Case(alert="ConsumerStalled", about="members come and go and commit nothing",
         series={**_status("stalled", "1 1 0 0 1 1 0 0 1 1 0 0"),
                 **_status("dead", "0 0 1 1 0 0 1 1 0 0 1 1")}, at="5m", firing=1),
    Case(alert="ConsumerStalled", about="it was away for a minute",
         series=_status("dead", "0x4 1x2 0x20"), at="5m", firing=0),
    Case(alert="LagMonitorDown", about="it was there",
         series=_status("ok", "1x20 _x60"), at="25m", firing=1),
    Case(alert="LagMonitorDown", about="it has been away for more than a day",
         series=_status("ok", "1x20 _x1600"), at="27h", firing=1),
    Case(alert="LagMonitorDown", about="it was never there", series={}, at="25m", firing=0),
    Case(alert="LagMonitorDown", about="another one took over",
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
    Case(alert="ConsumerLagGrowing", about="it is behind, and catches up",
         series={f"{_AGE}{{{_HOP}}}": "9000-30x100"}, at="45m", firing=0),
    Case(alert="DeadLettersGrowing", about="the first one of its error, a new series",
         series={**_letters("", "0x80"), **_letters("ConnectionError", "_x40 1x40")}, at="25m",
         firing=1),
    Case(alert="DeadLettersGrowing", about="the service restarts and gives one up",
         series=_letters("ConnectionError", "9x40 0x2 1x40"), at="25m", firing=1),
    Case(alert="DeadLettersGrowing", about="the first ones some minutes after a restart",
         series={**_letters("E", "9x40 _x60", "a"), **_letters("", "_x40 0x60", "b"),
                 **_letters("E", "_x54 3x46", "b")}, at="28m", firing=1),
    Case(alert="DeadLettersGrowing", about="they are in the first metrics that a process tells",
         series=_letters("E", "_x40 2x60"), at="21m", firing=1),
    Case(alert="DeadLettersGrowing", about="the metrics of a replica were away for a while",
         series={**_letters("E", "100x140", "a"), **_letters("E", "100x40 _x30 100x70", "b")},
         at="42m", firing=0, before=True),
    Case(alert="DeadLettersGrowing", about="old ones, and a restart",
         series=_letters("ConnectionError", "9x40 0x40"), at="25m", firing=0, before=True),
    Case(alert="DeadLetterAgeHigh", about="older than a day",
         series={f"pipeline_dead_letters_oldest_age_seconds{{{_HOP}}}": "90000+30x60"}, at="20m",
         firing=1),
    Case(alert="DeadLetterAgeHigh", about="an hour old",
         series={f"pipeline_dead_letters_oldest_age_seconds{{{_HOP}}}": "3600+30x60"}, at="20m",
         firing=0),
    Case(alert="SagaOverdue", about="two replicas say so",
         series={f'pipeline_saga_overdue{{saga="s", instance="{n}"}}': "2x40" for n in "ab"},
         at="10m", firing=1),
    Case(alert="SagaOverdue", about="one was overdue for a minute",
         series={'pipeline_saga_overdue{saga="s"}': "0x4 1x2 0x40"}, at="10m", firing=0),
    Case(alert="SagaFailed", about="one did, as two replicas say",
         series={**_ended("failed", "0x20 1x20"), **_ended("failed", "0x20 1x20", "b")}, at="12m",
         firing=1),
    Case(alert="SagaFailed", about="while the orchestrator was restarted",
         series={**_ended("failed", "3x40 _x60"), **_ended("failed", "_x42 4x60", "b")}, at="25m",
         firing=1),
    Case(alert="SagaFailed", about="of an engine without a store, after a restart",
         series={**_ended("failed", "3x40 _x60"), **_ended("failed", "_x42 0x20 1x40", "b")},
         at="35m", firing=1),
    Case(alert="SagaFailed", about="of an engine without a store, in its first metrics",
         series={**_ended("failed", "3x40 _x60"), **_ended("failed", "_x42 1x60", "b")}, at="28m",
         firing=1),
    Case(alert="SagaFailed", about="while the orchestrator was away for hours",
         series={**_ended("failed", "3x40 _x360"), **_ended("failed", "_x260 4x140", "b")},
         at="135m", firing=1),
    Case(alert="SagaFailed", about="long ago, and the orchestrator was restarted",
         series={**_ended("failed", "3x40 _x60"), **_ended("failed", "_x42 3x60", "b")}, at="50m",
         firing=0),
    Case(alert="SagaCompensationRateHigh", about="two of three",
         series={**_ended("compensated", "0+2x80"), **_ended("completed", "0+1x80")}, at="30m",
         firing=1),
    Case(alert="SagaCompensationRateHigh", about="one of ten",
         series={**_ended("compensated", "0+1x80"), **_ended("completed", "0+9x80")}, at="30m",
         firing=0),
    Case(alert="SagaCompensationRateHigh", about="both of two",
         series={**_ended("compensated", "0x50 2x30"), **_ended("completed", "0x80")}, at="30m",
         firing=0),
    Case(alert="OutboxStuck", about="for six minutes",
         series={'pipeline_outbox_oldest_age_seconds{job="orders"}': "0+30x40"}, at="15m",
         firing=1),
    Case(alert="OutboxStuck", about="it is sent every minute",
         series={'pipeline_outbox_oldest_age_seconds{job="orders"}': "60x40"}, at="15m", firing=0),
    Case(alert="TelemetryDropped", about="all the time",
         series={'pipeline_telemetry_dropped_total{job="orders", reason="send"}': "0+1x100"},
         at="40m", firing=1),
    Case(alert="TelemetryDropped", about="for a moment",
         series={'pipeline_telemetry_dropped_total{job="orders", reason="send"}': "0x20 7x10 7x5"},
         at="17m", firing=0),
    Case(alert="TelemetryDropped", about="links of large batches, as agreed",
         series={'pipeline_telemetry_dropped_total{job="orders", reason="links"}': "0+1x100"},
         at="40m", firing=0),
    Case(alert="ServiceNotReporting", about="one of two",
         series={**_alive("orders", "0x20 _x80"), **_alive("payment", "0x100")}, at="30m",
         firing=1),
    Case(alert="ServiceNotReporting", about="a command that did its work and ended",
         series={**_alive("dlq", "0x3 _x80"), **_alive("payment", "0x100")}, at="30m", firing=0),
    Case(alert="ServiceNotReporting", about="a new process of it took over",
         series={**_alive("orders", "0x20 _x80"), **_alive("orders", "_x24 0x80", "b")}, at="50m",
         firing=0),
    Case(alert="TelemetryAbsent", about="nobody reports", series={}, at="15m", firing=1),
    Case(alert="TelemetryAbsent", about="a service only listens, and nothing comes",
         series=_alive("analytics", "0x100"), at="15m", firing=0),
)  # fmt: skip
