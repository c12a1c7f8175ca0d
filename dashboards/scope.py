"""PromQL made of the catalogue: for a dashboard with its variables, or for a rule without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dashboards.labels import SERVICE, VARIABLE_OF
from tracing.catalog import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracing.metric import Metric

RATE_INTERVAL: Final = "$__rate_interval"
"""The window in which Grafana finds at least four scrapes, whatever the resolution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where a query looks, and over which time.

    Attributes:
        window: The window of rates, such as `5m`.
        variables: The dashboard variables that the board has; metrics are chosen by those of
            them of which they have the label.
        selector: Further matchers for every metric, such as `cluster="eu"`.
        recorded: Whether the recording rules are loaded, so that their results may be asked for.
    """

    window: str = RATE_INTERVAL
    variables: frozenset[str] = frozenset()
    selector: str = ""
    recorded: bool = False

    def select_recorded(self, record: str, *labels: str) -> str:
        """Choose the series that a recording rule keeps, by the variables of its labels."""
        matchers = [
            f'{label}=~"${VARIABLE_OF[label]}"'
            for label in labels
            if VARIABLE_OF.get(label) in self.variables
        ]
        return f"{record}{{{', '.join(matchers)}}}"

    def select(self, metric: Metric, *where: str, part: str = "") -> str:
        """Choose the series of a metric.

        Args:
            metric: Which one.
            where: Matchers beside those of the scope, such as `outcome="failed"`.
            part: Of a histogram, `bucket`, `sum` or `count`.
        """
        name = f"{metric.prometheus}_{part}" if part else metric.prometheus
        matchers = [
            f'{label}=~"${variable}"'
            for label, variable in VARIABLE_OF.items()
            if variable in self.variables
            and (label == SERVICE or label in metric.prometheus_labels)
        ]
        if self.selector:
            matchers.append(self.selector)
        return f"{name}{{{', '.join([*matchers, *where])}}}"

    def everything(self) -> str:
        """All series of all metrics of the catalogue."""
        names = "|".join(f"{metric.prometheus}(_bucket|_sum|_count)?" for metric in METRICS)
        matchers = [f'__name__=~"{names}"']
        if VARIABLE_OF[SERVICE] in self.variables:
            matchers.append(f'{SERVICE}=~"${VARIABLE_OF[SERVICE]}"')
        if self.selector:
            matchers.append(self.selector)
        return f"{{{', '.join(matchers)}}}"

    def rate(self, metric: Metric, *where: str, by: Sequence[str] = (), part: str = "") -> str:
        """Per second, added up over all other labels."""
        return _by("sum", by, f"rate({self.select(metric, *where, part=part)}[{self.window}])")

    def increase(self, metric: Metric, *where: str, by: Sequence[str] = ()) -> str:
        """How many in the window, added up over all other labels."""
        return _by("sum", by, f"increase({self.select(metric, *where)}[{self.window}])")

    def grown(self, metric: Metric, *where: str, by: Sequence[str] = ()) -> str:
        """How many in the window, also where a series is new: its first value is no increase.

        The sum over all series of a counter is compared with what it was; after a restart, when
        it is less than that, the increase of each series counts.
        """
        increase = self.increase(metric, *where, by=by)
        total = self.total(metric, *where, by=by)
        before = _by("sum", by, f"{self.select(metric, *where)} offset {self.window}")
        return f"(({total} - {before}) > {increase} or {increase})"

    def shared_increase(self, metric: Metric, *where: str, by: Sequence[str]) -> str:
        """How many in the window of what all replicas read from one store: the most of them."""
        return _by("max", by, f"increase({self.select(metric, *where)}[{self.window}])")

    def quantile(self, share: float, metric: Metric, *where: str, by: Sequence[str] = ()) -> str:
        """The value below which that share of a histogram lies, in its unit."""
        buckets = self.rate(metric, *where, by=("le", *by), part="bucket")
        return f"histogram_quantile({share:g}, {buckets})"

    def mean(self, metric: Metric, *where: str, by: Sequence[str] = ()) -> str:
        """The mean of a histogram, in its unit."""
        total = self.rate(metric, *where, by=by, part="sum")
        return f"{total} / {self.rate(metric, *where, by=by, part='count')}"

    def total(self, metric: Metric, *where: str, by: Sequence[str] = ()) -> str:
        """A gauge, added up over all other labels."""
        return _by("sum", by, self.select(metric, *where))

    def worst(self, metric: Metric, *where: str, by: Sequence[str] = ()) -> str:
        """A gauge's highest value over all other labels."""
        return _by("max", by, self.select(metric, *where))


def _by(how: str, by: Sequence[str], inner: str) -> str:
    return f"{how} by ({', '.join(by)}) ({inner})" if by else f"{how}({inner})"
