"""PromQL made of the catalogue: for a dashboard with its variables, or for a rule without."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from dashboards.model.labels import PIPELINE, RULESET, SAGA, SERVICE, VARIABLE_OF
from tracing.metrics.catalog import (
    CONSUMER_LAG,
    CONSUMER_LAG_TIME,
    CONSUMER_STATUS,
    DEAD_LETTERS_DEPTH,
    DEAD_LETTERS_OLDEST_AGE,
    DEAD_LETTERS_REPLAYED,
    METRICS,
    SAGA_ACTIVE,
    SAGA_COMPENSATIONS,
    SAGA_DURATION,
    SAGA_ENDED,
    SAGA_OLDEST_AGE,
    SAGA_OVERDUE,
    SAGA_STARTED,
    SAGA_STEP_DURATION,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dashboards.config import Config
    from tracing.metrics.metric import Metric

RATE_INTERVAL: Final = "$__rate_interval"
"""The window in which Grafana finds at least four points, whatever the resolution."""
INTERVAL: Final = "$interval"
"""The window that people choose for figures that stand alone."""
ALL: Final = ".*"

# Told by who looks from outside or into a store, not by the service that they are about: choosing
# a service must not hide that its group is dead.
_OF_NO_SERVICE: Final = frozenset(
    {
        CONSUMER_LAG,
        CONSUMER_LAG_TIME,
        CONSUMER_STATUS,
        DEAD_LETTERS_DEPTH,
        DEAD_LETTERS_OLDEST_AGE,
        DEAD_LETTERS_REPLAYED,
        SAGA_STARTED,
        SAGA_ENDED,
        SAGA_DURATION,
        SAGA_STEP_DURATION,
        SAGA_COMPENSATIONS,
        SAGA_ACTIVE,
        SAGA_OVERDUE,
        SAGA_OLDEST_AGE,
    }
)
# How long a series may be away and still count as the one that it was.
_KNOWN_FOR: Final = "6h"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where a query looks, and over which time.

    Attributes:
        window: The window of rates, such as `5m`.
        variables: The dashboard variables that the board has; metrics are chosen by those of
            them of which they have the label.
        selector: Labels that every series must have, such as `cluster: eu`.
        only: Regular expressions for labels that no variable chooses.
        ruleset: Whose recording rules may be asked for; empty where they are not loaded.
    """

    window: str = RATE_INTERVAL
    variables: frozenset[str] = frozenset()
    selector: Mapping[str, str] = field(default_factory=dict)
    only: Mapping[str, str] = field(default_factory=dict)
    ruleset: str = ""

    @classmethod
    def of(
        cls, config: Config, *, window: str = RATE_INTERVAL, variables: Sequence[str] = ()
    ) -> Scope:
        """Make the scope of a dashboard, or of a rule, which has no variables."""
        chosen = {PIPELINE: any_of(config.pipelines), SAGA: any_of(config.sagas)}
        return cls(
            window=window,
            variables=frozenset(variables),
            selector=config.selector,
            only={label: pattern for label, pattern in chosen.items() if pattern != ALL},
            ruleset=config.prefix if config.recording_rules else "",
        )

    def select_recorded(self, record: str, *labels: str) -> str:
        """Choose the series that a recording rule keeps, by the variables of its labels."""
        matchers = [
            f'{label}=~"${VARIABLE_OF[label]}"'
            for label in labels
            if VARIABLE_OF.get(label) in self.variables
        ]
        matchers.append(f'{RULESET}="{self.ruleset}"')
        return f"{record}{{{', '.join([*matchers, *self._selected()])}}}"

    def select(self, metric: Metric, *where: str, part: str = "") -> str:
        """Choose the series of a metric.

        Args:
            metric: Which one.
            where: Matchers beside those of the scope, such as `outcome="failed"`.
            part: Of a histogram, `bucket`, `sum` or `count`.
        """
        name = f"{metric.prometheus}_{part}" if part else metric.prometheus
        has = set(metric.prometheus_labels)
        if metric not in _OF_NO_SERVICE:
            has.add(SERVICE)
        matchers = []
        for label, variable in VARIABLE_OF.items():
            if label in has and variable in self.variables:
                matchers.append(f'{label}=~"${variable}"')
            elif label in has and label in self.only:
                matchers.append(f'{label}=~"{self.only[label]}"')
        return f"{name}{{{', '.join([*matchers, *self._selected(), *where])}}}"

    def everything(self) -> str:
        """All series of all metrics of the catalogue."""
        names = "|".join(f"{metric.prometheus}(_bucket|_sum|_count)?" for metric in METRICS)
        matchers = [f'__name__=~"{names}"']
        if VARIABLE_OF[SERVICE] in self.variables:
            matchers.append(f'{SERVICE}=~"${VARIABLE_OF[SERVICE]}"')
        return f"{{{', '.join([*matchers, *self._selected()])}}}"

    def rate(self, metric: Metric, *where: str, by: Sequence[str] = (), part: str = "") -> str:
        """Per second, added up over all other labels."""
        return added("sum", by, f"rate({self.select(metric, *where, part=part)}[{self.window}])")

    def grown(self, metric: Metric, *where: str, by: Sequence[str] = (), part: str = "") -> str:
        """How many in the window, also of series that are new: for what is rare.

        `increase()` does not see the value with which a series begins, and what is rare begins
        with its first. A series counts as new that nobody saw for hours before the window: one
        that was away for a while, as its service's network was, is none.
        """
        series = self.select(metric, *where, part=part)
        increase = f"increase({series}[{self.window}])"
        known = f"last_over_time({series}[{_KNOWN_FOR}] offset {self.window})"
        first = f"min_over_time({series}[{self.window}]) unless {known}"
        alone = f"last_over_time({series}[{self.window}]) unless {known}"
        return added("sum", by, f"{increase} + ({first}) or {increase} or ({alone})")

    def shared_growth(self, metric: Metric, *where: str, by: Sequence[str]) -> str:
        """How many in the window of what all replicas read from one store.

        The most that any of them tells now, against the most that any told before: so a restart
        neither hides nor makes any. Where there is no store, a restart begins at 0 again: then
        what each process saw counts.
        """
        series = self.select(metric, *where)
        now = added("max", by, f"last_over_time({series}[5m])")
        before = added("max", by, f"last_over_time({series}[{_KNOWN_FOR}] offset {self.window})")
        anew = f"{self.grown(metric, *where, by=by)} and {now} < {before}"
        return (
            f"({now} - {before} > 0 or ({anew}) or {self.shared_increase(metric, *where, by=by)})"
        )

    def shared_increase(self, metric: Metric, *where: str, by: Sequence[str]) -> str:
        """The same, of what is frequent: the most that any replica saw."""
        return added("max", by, f"increase({self.select(metric, *where)}[{self.window}])")

    def quantile(
        self, share: float, metric: Metric, *where: str, by: Sequence[str] = (), rare: bool = False
    ) -> str:
        """The value below which that share of a histogram lies, in its unit.

        Args:
            share: Such as 0.95.
            metric: The histogram.
            where: Further matchers.
            by: What is told apart.
            rare: Whether its series may be new, as `grown` says.
        """
        count = self.grown if rare else self.rate
        buckets = count(metric, *where, by=("le", *by), part="bucket")
        return f"histogram_quantile({share:g}, {buckets})"

    def mean(
        self, metric: Metric, *where: str, by: Sequence[str] = (), over: Metric | None = None
    ) -> str:
        """The mean of a histogram, in its unit; nothing where nothing came.

        Args:
            metric: The histogram.
            where: Further matchers.
            by: What is told apart.
            over: The histogram whose records count, where that is another one.
        """
        total = self.rate(metric, *where, by=by, part="sum")
        return f"{total} / ({self.rate(over or metric, *where, by=by, part='count')} > 0)"

    def total(self, metric: Metric, *where: str, by: Sequence[str], each: Sequence[str]) -> str:
        """A gauge, added up; of several that tell of one thing, `each`, the highest counts."""
        return added("sum", by, self.worst(metric, *where, by=(*by, *each)))

    def worst(self, metric: Metric, *where: str, by: Sequence[str] = ()) -> str:
        """A gauge's highest value over all other labels."""
        return added("max", by, self.select(metric, *where))

    def _selected(self) -> list[str]:
        return [f'{label}="{value}"' for label, value in self.selector.items()]


def added(how: str, by: Sequence[str], inner: str) -> str:
    """Bring series together by labels, or all into one."""
    return f"{how} by ({', '.join(by)}) ({inner})" if by else f"{how}({inner})"


def any_of(names: Sequence[str]) -> str:
    """A regular expression for names; for none of them it takes all."""
    return "|".join(name.replace(".", "[.]") for name in names) or ALL
