"""Series in promtool's notation from which the cases of alerts are made."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from dashboards.config import Config

HOP: Final = 'messaging_consumer_group_name="g", messaging_destination_name="t"'
LEFT: Final = 'messaging_consumer_group_name="g", messaging_destination_name="left"'
LATE: Final = "pipeline_end_to_end_duration_seconds"
LATE_HOP: Final = 'messaging_consumer_group_name="late", messaging_destination_name="t"'
STATUS: Final = "pipeline_consumer_status"
USED: Final = "pipeline_consumer_retention_used_ratio"
LOST: Final = "pipeline_consumer_lost_total"
AGE: Final = "pipeline_consumer_lag_time_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Series in promtool's notation, a value every 30 s, and how many alerts fire at `at`.

    If none fires, none may have fired earlier either, unless `before` allows it: to a new
    Prometheus, old events look new. A case over `days` evaluates only the alert's query, once: all
    rules every 30 s would take minutes.
    """

    alert: str
    about: str
    series: dict[str, str]
    at: str
    firing: int
    before: bool = False
    days: bool = False
    config: Config = field(default_factory=Config)


def arrivals(
    late: int, count: int = 500, *, each: int = 1000, kind: str = "First", job: str = "any"
) -> dict[str, str]:
    """Return arrivals of which so many of each thousand take longer than 5 s."""
    labels = f'pipeline="orders", {HOP}, message_type="{kind}", job="{job}"'
    return {
        f'{LATE}_bucket{{{labels}, le="5"}}': f"0+{each - late}x{count}",
        f"{LATE}_count{{{labels}}}": f"0+{each}x{count}",
    }


def outage(of: str = HOP, kills_at: int = 120, until: int = 40) -> dict[str, str]:
    """Return ten flows a second, of which the consumer of a hop dies after an hour."""
    early = 'messaging_consumer_group_name="early", messaging_destination_name="e"'
    alive, dead = f"0+300x{kills_at}", f"_x{until}"
    return {
        f'{LATE}_bucket{{pipeline="orders", le="5", {early}}}': f"0+300x{kills_at + until}",
        f'{LATE}_count{{pipeline="orders", {early}}}': f"0+300x{kills_at + until}",
        f'{LATE}_bucket{{pipeline="orders", le="5", {of}}}': f"{alive} {dead}",
        f'{LATE}_count{{pipeline="orders", {of}}}': f"{alive} {dead}",
        f"pipeline_consumer_lag{{{of}}}": f"0x{kills_at} 300+300x{until}",
        f"{AGE}{{{of}}}": f"0x{kills_at} 30+30x{until}",
    }


def idle(pipeline: str = "returns", count: str = "40x400") -> dict[str, str]:
    """Return arrivals of another pipeline at the same hop, all in time."""
    labels = f'pipeline="{pipeline}", {HOP}, message_type="First", job="any"'
    return {f'{LATE}_bucket{{{labels}, le="5"}}': count, f"{LATE}_count{{{labels}}}": count}


def hop(group: str, topic: str, count: str, sends_to: str = "") -> dict[str, str]:
    """Return arrivals at a hop of one service, all in time, and what that sends."""
    name = f'messaging_consumer_group_name="{group}", messaging_destination_name="{topic}"'
    labels = f'pipeline="orders", {name}, message_type="First", job="{group}"'
    series = {f'{LATE}_bucket{{{labels}, le="5"}}': count, f"{LATE}_count{{{labels}}}": count}
    if sends_to:
        sent = f'messaging_destination_name="{sends_to}", job="{group}"'
        series[f"messaging_client_sent_messages_total{{{sent}}}"] = count
    return series


def behind(group: str, topic: str) -> dict[str, str]:
    """Return the lag of a group that halts after an hour."""
    name = f'messaging_consumer_group_name="{group}", messaging_destination_name="{topic}"'
    return {
        f"pipeline_consumer_lag{{{name}}}": "0x120 300+300x140",
        f"{AGE}{{{name}}}": "0x120 30+30x140",
    }


def ends_after(series: dict[str, str], samples: int) -> dict[str, str]:
    """Return series that are gone after so many samples."""
    return {name: f"{values.partition('x')[0]}x{samples} _x500" for name, values in series.items()}


def waiting(records: str, seconds: str) -> dict[str, str]:
    """Return records that wait, and the age of the oldest."""
    return {f"pipeline_consumer_lag{{{HOP}}}": records, f"{AGE}{{{HOP}}}": seconds}


def of_the_consumer(series: dict[str, str]) -> dict[str, str]:
    """Return the series of one consumer only."""
    return {name: values for name, values in series.items() if HOP in name}


def without_lag(series: dict[str, str]) -> dict[str, str]:
    """Return series of which the lag monitor reports none any longer, since the consumer died."""
    return {
        name: values.partition(" ")[0] if "consumer_lag" in name else values
        for name, values in series.items()
    }


def overdue(value: str, instance: str = "a") -> dict[str, str]:
    labels = f'pipeline="orders", saga="place-order", instance="{instance}"'
    return {f"pipeline_saga_overdue{{{labels}}}": value}


def status(status: str, value: str) -> dict[str, str]:
    return {
        f'pipeline_consumer_status{{messaging_consumer_group_name="g", status="{status}"}}': value
    }


def late_joiner() -> dict[str, str]:
    """Return a group that works off old records, slowly, beside flows that are all in time."""
    return {
        **arrivals(0),
        f"pipeline_catch_up_records_total{{{LATE_HOP}}}": "0+3000x500",
        f"pipeline_catch_up_remaining{{{LATE_HOP}}}": "1500000-3000x500",
        f"pipeline_catch_up_rate_per_second{{{LATE_HOP}}}": "100x500",
        f"messaging_process_duration_seconds_count{{{LATE_HOP}}}": "0+3000x500",
        f"messaging_client_consumed_messages_total{{{LATE_HOP}}}": "0+3000x500",
        f"pipeline_consumer_lag{{{LATE_HOP}}}": "1500000+300x500",
        f"{AGE}{{{LATE_HOP}}}": "0x500",
        f"{LOST}{{{LATE_HOP}}}": "0x500",
        **{
            f'{STATUS}{{messaging_consumer_group_name="late", status="{status}"}}': value
            for status, value in (
                ("ok", "0x500"),
                ("catching_up", "1x500"),
                ("lagging", "0x500"),
                ("stalled", "0x500"),
                ("dead", "0x500"),
            )
        },
    }


def ended(outcome: str, value: str, instance: str = "a", by: str = "store") -> dict[str, str]:
    labels = f'pipeline="orders", saga="place-order", outcome="{outcome}", counted_by="{by}"'
    return {f'pipeline_saga_ended_total{{{labels}, instance="{instance}"}}': value}


def dead_letters(
    error: str, value: str, instance: str = "a", *, pipeline: str = "orders", replayed: bool = False
) -> dict[str, str]:
    named = f', pipeline="{pipeline}"'
    named += f', error_type="{error}"' if error else ""
    named += ', replayed="true"' if replayed else ""
    return {f'pipeline_dead_letters_total{{{HOP}, instance="{instance}"{named}}}': value}


def schemas(outcome: str, value: str, version: str = "2") -> dict[str, str]:
    labels = f'job="payment", subject="orders-value", version="{version}", outcome="{outcome}"'
    return {f"pipeline_schema_records_total{{{labels}}}": value}


def stale(value: str, instance: str = "a") -> dict[str, str]:
    labels = f'job="analytics", projection="orders", instance="{instance}"'
    return {f"pipeline_projection_staleness_seconds{{{labels}}}": value}


def alive(job: str, value: str, instance: str = "a") -> dict[str, str]:
    labels = f'job="{job}", reason="links", instance="{instance}"'
    return {f"pipeline_telemetry_dropped_total{{{labels}}}": value}


def cause(name: str, value: str) -> dict[str, str]:
    return {f'pipeline_consumer_cause{{messaging_consumer_group_name="g", cause="{name}"}}': value}


def thinned(values: str, every: int) -> str:
    """Return values of which only each so manyth is there, as exported that seldom."""
    each: list[str] = []
    for part in values.split():
        repeated = re.fullmatch(r"(_|-?[\d.e]+)(?:([+-][\d.e]+))?x(\d+)", part)
        if repeated is None:
            each.append(part)
        elif repeated[1] == "_":
            each += ["_"] * int(repeated[3])
        else:
            first, step = float(repeated[1]), float(repeated[2] or 0)
            each += [f"{first + number * step:.10g}" for number in range(int(repeated[3]) + 1)]
    return " ".join(value if number % every == 0 else "_" for number, value in enumerate(each))
