"""Which series queries select: by variables, by the configuration, by labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dashboards.model.labels import INSTANCE, RULESET, SERVICE, VARIABLE_OF
from dashboards.model.series import labels_of, series_name
from tracing.metrics.catalog import METRICS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tracing.metrics.metric import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The series that queries select.

    Attributes:
        variables: The dashboard's variables; each filters the metrics that have its label.
        selector: Labels that every series must have, such as `cluster: eu`.
        only: Regular expressions for labels that no variable filters.
        ruleset: The prefix of the recording rules to use; empty if they are not loaded.
        native: Whether Prometheus stores histograms as native ones, which have no `_bucket`,
            `_sum` and `_count` series.
    """

    variables: frozenset[str] = frozenset()
    selector: Mapping[str, str] = field(default_factory=dict)
    only: Mapping[str, str] = field(default_factory=dict)
    ruleset: str = ""
    native: bool = False

    def select_recorded(self, record: str, *labels: str, where: str = "") -> str:
        """Select a recorded series, filtered by the variables of its labels and by a matcher."""
        matchers = [
            f'{label}=~"${VARIABLE_OF[label]}"'
            for label in labels
            if VARIABLE_OF.get(label) in self.variables
        ]
        matchers.append(f'{RULESET}="{self.ruleset}"')
        matchers += self._selector_matchers()
        return f"{record}{{{', '.join([*matchers, where] if where else matchers)}}}"

    def select(
        self, metric: Metric, *where: str, part: str = "", among: Collection[str] | None = None
    ) -> str:
        """Select the series of a metric.

        Args:
            metric: The metric.
            where: More matchers, such as `outcome="failed"`.
            part: `bucket`, `sum` or `count` of a histogram; a native one has all in one series.
            among: The labels that variables may filter; by default all that the metric has.
        """
        name = series_name(metric, part, native=self.native)
        has = labels_of(metric) if among is None else labels_of(metric) & set(among)
        matchers = []
        for label, variable in VARIABLE_OF.items():
            if label in has and variable in self.variables:
                matchers.append(f'{label}=~"${variable}"')
            elif label in has and label in self.only:
                matchers.append(f'{label}=~"{self.only[label]}"')
        return f"{name}{{{', '.join([*matchers, *self._selector_matchers(), *where])}}}"

    def all_metrics(self) -> str:
        """Select all series of all metrics in the catalogue."""
        names = "|".join(f"{metric.prometheus}(_bucket|_sum|_count)?" for metric in METRICS)
        matchers = [f'__name__=~"{names}"']
        if VARIABLE_OF[SERVICE] in self.variables:
            matchers.append(f'{SERVICE}=~"${VARIABLE_OF[SERVICE]}"')
        return f"{{{', '.join([*matchers, *self._selector_matchers()])}}}"

    def resources(self, *where: str) -> str:
        """Select what Prometheus knows of each process: the attributes of its resource."""
        matchers = [
            f'{label}=~"${VARIABLE_OF[label]}"'
            for label in (SERVICE, INSTANCE)
            if VARIABLE_OF[label] in self.variables
        ]
        return f"target_info{{{', '.join([*matchers, *self._selector_matchers(), *where])}}}"

    def _selector_matchers(self) -> list[str]:
        return [f'{label}="{value}"' for label, value in self.selector.items()]
