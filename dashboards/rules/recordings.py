"""Recording rules: what would be too slow to ask for at each look at a dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards import recorded
from dashboards.labels import GROUP, TOPIC
from dashboards.rules.burn_rate import WINDOWS
from dashboards.rules.rule import Recording
from dashboards.scope import Scope
from dashboards.signals.objectives import burn_rate
from tracing.catalog import CONSUMER_LAG, CONSUMER_LAG_TIME

if TYPE_CHECKING:
    from dashboards.config import Config


def recordings(config: Config) -> tuple[Recording, ...]:
    """Make them."""
    scope = Scope(selector=config.selector)
    by = (GROUP, TOPIC)
    windows = sorted({window for pair in WINDOWS for window in (pair.long, pair.short)})
    return (
        Recording(record=recorded.LAG_RECORDS, expr=scope.total(CONSUMER_LAG, by=by)),
        Recording(record=recorded.LAG_SECONDS, expr=scope.worst(CONSUMER_LAG_TIME, by=by)),
        *(
            Recording(
                record=recorded.burn_rate(window),
                expr=burn_rate(Scope(window=window, selector=config.selector), config.objectives),
            )
            for window in windows
        ),
    )
