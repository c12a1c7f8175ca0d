"""Series that make the alert on skipped records fire, and similar series that must not."""

from __future__ import annotations

from typing import Final

from tests.dashboards.alert_series import HOP, Case


def _skipped(reason: str, values: str, instance: str = "a") -> dict[str, str]:
    labels = f'{HOP}, job="s", instance="{instance}", reason="{reason}"'
    return {f"pipeline_consumer_skipped_total{{{labels}}}": values}


SKIPPED_CASES: Final = (
    Case(alert="RecordsSkipped", about="a reset of a running consumer",
         series=_skipped("reset", "0x40 30x40"), at="21m", firing=1),
    Case(alert="RecordsSkipped", about="a reset at the start of a process",
         series={**_skipped("reset", "0x30 _x50"), **_skipped("reset", "_x40 30x40", "b")},
         at="21m", firing=1),
    Case(alert="RecordsSkipped", about="a reset that is longer ago",
         series=_skipped("reset", "0x40 30x80"), at="50m", firing=0, before=True),
    Case(alert="RecordsSkipped", about="a process that goes on after a pause of its metrics",
         series=_skipped("reset", "30x20 _x40 30x40"), at="32m", firing=0, before=True),
    Case(alert="RecordsSkipped", about="deleted records, and the application seeks",
         series={**_skipped("deleted", "0x40 30x40"), **_skipped("seek", "0x40 30x40"),
                 **_skipped("reset", "0x80")},
         at="21m", firing=0),
)  # fmt: skip
