"""The alert on records that a reset to the end of the log left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.model.labels import GROUP, REASON, TOPIC
from dashboards.model.rule import Alert
from dashboards.signals.chosen_pipeline import of_chosen_pipeline
from tracing.metrics.catalog import CONSUMER_SKIPPED

if TYPE_CHECKING:
    from dashboards.model.promql import Scope

_LEFT_OUT: Final = f'{REASON}="reset"'


def skipped_alerts(scope: Scope) -> tuple[Alert, ...]:
    """Make the alert.

    Deleted records have one of their own, from outside the consumers, and the application decides
    where it seeks. What a reset leaves out is still in the log, and nothing else notices it.
    """
    left_out = scope.increase(CONSUMER_SKIPPED, _LEFT_OUT, by=(GROUP, TOPIC))
    return (
        Alert(
            name="RecordsSkipped",
            expr=of_chosen_pipeline(scope, f"{left_out} > 0", GROUP),
            wait="0m",
            severity="critical",
            summary=f"Group {{{{ $labels.{GROUP} }}}} has skipped "
            f'{{{{ $value | printf "%.0f" }}}} records of {{{{ $labels.{TOPIC} }}}}',
            description="Its next record had been deleted, so its consumer went on at the end of "
            "the log, by auto_offset_reset=latest. The records in between are still there, and the "
            "group will not read them by itself.",
            board="dead-letters",
            panel="Offsets skipped",
            labels=(GROUP, TOPIC),
        ),
    )
