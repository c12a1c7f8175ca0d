"""For each alert what makes it fire, and what looks like it and must not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_HOP: Final = 'messaging_consumer_group_name="g", messaging_destination_name="t"'
_LATE: Final = "pipeline_end_to_end_duration_seconds"
_AGE: Final = "pipeline_consumer_lag_time_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Series, a value every 30 s in promtool's notation, and how many alerts fire at a moment."""

    alert: str
    about: str
    series: dict[str, str]
    at: str
    firing: int


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


def _letters(error: str, value: str) -> dict[str, str]:
    named = f', error_type="{error}"' if error else ""
    return {f"pipeline_dead_letters_total{{{_HOP}{named}}}": value}


CASES: Final = (
    Case(alert="EndToEndBudgetFastBurn", about="half is late", series=_arrivals(500), at="30m",
         firing=1),
    Case(alert="EndToEndBudgetFastBurn", about="one in ten is late", series=_arrivals(100),
         at="30m", firing=0),
    Case(
        alert="EndToEndBudgetFastBurn",
        about="it was late, and is not any more",
        series={
            f'{_LATE}_bucket{{pipeline="orders", le="5"}}': "0+500x60 30000+1000x40",
            f'{_LATE}_count{{pipeline="orders"}}': "0+1000x100",
        },
        at="42m",
        firing=0,
    ),
    Case(alert="EndToEndBudgetSlowBurn", about="one in ten is late", series=_arrivals(100),
         at="2h", firing=1),
    Case(alert="EndToEndBudgetSlowBurn", about="one in fifty is late", series=_arrivals(20),
         at="2h", firing=0),
    Case(alert="EndToEndBudgetCreepingBurn", about="one in fifty is late", series=_arrivals(20),
         at="4h", firing=1),
    Case(alert="EndToEndBudgetCreepingBurn", about="as many as are allowed", series=_arrivals(9),
         at="4h", firing=0),
    Case(alert="ConsumerStalled", about="members commit nothing", series=_status("stalled", "1x20"),
         at="5m", firing=1),
    Case(alert="ConsumerStalled", about="it lags, and commits",
         series={**_status("stalled", "0x20"), **_status("lagging", "1x20")}, at="5m", firing=0),
    Case(alert="ConsumerDead", about="there are no members", series=_status("dead", "1x20"),
         at="5m", firing=1),
    Case(alert="ConsumerDead", about="it was away for a minute",
         series=_status("dead", "0x4 1x2 0x20"), at="5m", firing=0),
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
    Case(alert="DeadLettersGrowing", about="old ones, and a restart",
         series=_letters("ConnectionError", "9x40 0x40"), at="25m", firing=0),
    Case(alert="DeadLettersOld", about="older than a day",
         series={f"pipeline_dead_letters_oldest_age_seconds{{{_HOP}}}": "90000+30x60"}, at="20m",
         firing=1),
    Case(alert="DeadLettersOld", about="an hour old",
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
    Case(alert="SagaFailed", about="long ago", series=_ended("failed", "3x80"), at="30m", firing=0),
    Case(alert="SagaTurnedBackOften", about="two of three",
         series={**_ended("compensated", "0+2x80"), **_ended("completed", "0+1x80")}, at="30m",
         firing=1),
    Case(alert="SagaTurnedBackOften", about="one of ten",
         series={**_ended("compensated", "0+1x80"), **_ended("completed", "0+9x80")}, at="30m",
         firing=0),
    Case(alert="SagaTurnedBackOften", about="both of two",
         series={**_ended("compensated", "0x50 2x30"), **_ended("completed", "0x80")}, at="30m",
         firing=0),
    Case(alert="OutboxStuck", about="for six minutes",
         series={'pipeline_outbox_oldest_age_seconds{job="orders"}': "0+30x40"}, at="15m",
         firing=1),
    Case(alert="OutboxStuck", about="it is sent every minute",
         series={'pipeline_outbox_oldest_age_seconds{job="orders"}': "60x40"}, at="15m", firing=0),
    Case(alert="TelemetryDropped", about="all the time",
         series={'pipeline_telemetry_dropped_total{job="orders", reason="links"}': "0+1x100"},
         at="40m", firing=1),
    Case(alert="TelemetryDropped", about="at the start",
         series={'pipeline_telemetry_dropped_total{job="orders", reason="links"}': "0 7x100"},
         at="40m", firing=0),
    Case(alert="TelemetryAbsent", about="nobody reports", series={}, at="15m", firing=1),
    Case(alert="TelemetryAbsent", about="nobody sends anything, and reports that",
         series={'messaging_client_sent_messages_total{job="orders"}': "5x100"}, at="15m",
         firing=0),
)  # fmt: skip
