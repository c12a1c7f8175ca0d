"""What the dashboards' graphs show of a whole run, and how it is compared."""

from __future__ import annotations

import time
from bisect import bisect_right
from dataclasses import replace
from math import ceil, floor, isnan, nan
from typing import TYPE_CHECKING, TypeVar

import httpx

from dashboards.config import Config
from dashboards.model.promql import Scope
from tests.outage.figure import Figure, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dashboards.model.signal import Signal
    from tests.dashboards.prometheus_server import PrometheusServer

Numbers = dict[tuple[str, ...], float]
Key = TypeVar("Key", bound=tuple[str, ...])

CONFIG = Config()
_NEAR = 0.005
"""How far the share of a quantile may be off: where values jump, no value is the right one."""


class Graphs:
    """The graphs over a window that ends now, however long it takes to read them all.

    Args:
        server: The Prometheus that the dashboards read.
        window_s: The window, in seconds.

    Attributes:
        window_s: The window, in seconds.
        now_s: Its end, unix s.
        compared: The titles of the signals that were read.
    """

    def __init__(self, server: PrometheusServer, window_s: int) -> None:
        self.window_s = window_s
        self.now_s = time.time()
        self.compared: set[str] = set()
        self._server = server
        self._scope = Scope.of(CONFIG, window=f"{window_s}s")

    @property
    def scope(self) -> Scope:
        """The scope of queries that read no recordings, which are of other windows."""
        return replace(self._scope, ruleset="")

    def numbers(
        self,
        signal: Signal,
        *labels: str,
        total: bool = False,
        recorded: bool = True,
        variables: Mapping[str, str] | None = None,
    ) -> Numbers:
        """Return what a signal shows, summed by these labels.

        Args:
            signal: The signal.
            labels: The labels.
            total: Whether it is a rate, of which the number in the window is wanted.
            recorded: Whether to read recordings where the dashboard does.
            variables: The dashboard's other variables.
        """
        self.compared.add(signal.title)
        query = signal.expr(self._scope if recorded else self.scope)
        for name, value in {"__range": f"{self.window_s}s", **(variables or {})}.items():
            query = query.replace(f"${name}", value)
        factor = self.window_s if total else 1
        return {key: value * factor for key, value in self.query(query, *labels).items()}

    def query(self, promql: str, *labels: str) -> Numbers:
        """Return what a query shows, summed by these labels; no number where it fails."""
        try:
            return shown(self._server, promql, *labels, at_s=self.now_s)
        except (httpx.HTTPError, AssertionError) as error:
            # At the end of a long run, the other figures count.
            return {(f"{error!r:.80}", *([""] * len(labels)))[: len(labels)]: nan}

    def compare(
        self,
        signal: Signal,
        truth: Mapping[Key, float],
        *labels: str,
        within: float = 0.0,
        least: float = 0.0,
        total: bool = False,
    ) -> list[Figure]:
        """Compare all that a signal shows with the truth, by these labels."""
        numbers = self.numbers(signal, *labels, total=total)
        return beside(signal.title, numbers, truth, within, least)

    def compare_quantile(
        self,
        signal: Signal,
        share: float,
        truth: Mapping[tuple[str, ...], list[float]],
        *labels: str,
    ) -> list[Figure]:
        """Compare a quantile of durations by these labels with the values that it is of."""
        return quantiles_beside(signal.title, share, self.numbers(signal, *labels), truth)


def quantiles_beside(
    title: str,
    share: float,
    numbers: Numbers,
    truth: Mapping[Key, Sequence[float]],
    within: float = 0.15,
    least: float = 0.005,
) -> list[Figure]:
    """Return a figure for each quantile; durations are right to 15 %, as their buckets are.

    Below 5 ms there are few buckets.
    """
    near = {
        key: near_quantile(values, share, numbers.get(key, 0.0)) for key, values in truth.items()
    }
    return beside(title, numbers, near, within, least)


def beside(
    title: str,
    numbers: Numbers,
    truth: Mapping[Key, float],
    within: float = 0.0,
    least: float = 0.0,
) -> list[Figure]:
    """Return a figure for each number that is shown or should be; a single one if all are 0."""
    known: Numbers = dict(truth.items())
    every = numbers.keys() | known.keys()
    keys = sorted(key for key in every if numbers.get(key) or known.get(key))
    if not keys:
        return [Figure(f"{title}: all", sum(numbers.values()) if numbers else None, 0, 0)]
    return [
        Figure(
            f"{title}: {', '.join(key)}" if any(key) else title,
            numbers.get(key),
            known.get(key, 0.0),
            within,
            least,
        )
        for key in keys
    ]


def near_quantile(values: Sequence[float], share: float, guess: float) -> float:
    """Return the value closest to a guess that half a percent or one value around a quantile has.

    Args:
        values: The values.
        share: The quantile, such as 0.95.
        guess: The guess.
    """
    ordered = sorted(values)
    rank = share * (len(ordered) - 1)
    around = max(_NEAR * len(ordered), 1.0)
    lowest = ordered[max(0, floor(rank - around))]
    highest = ordered[min(len(ordered) - 1, ceil(rank + around))]
    return min(max(guess, lowest), highest)


def up_to(bounds: Numbers, values: Iterable[float]) -> Numbers:
    """Return how many values are within each of these bounds, which are the keys."""
    ordered = sorted(values)
    return {
        key: float(bisect_right(ordered, float(key[0])))
        for key, number in bounds.items()
        if not isnan(number)
    }


def together(parts: Iterable[Numbers]) -> Numbers:
    """Add up numbers by their keys."""
    added: Numbers = {}
    for part in parts:
        for key, number in part.items():
            added[key] = added.get(key, 0.0) + number
    return added


def means(values: Mapping[Key, Sequence[float]]) -> Numbers:
    """Return the mean of the values of each key."""
    return {key: sum(each) / len(each) for key, each in values.items() if each}


def counts(values: Mapping[Key, Sequence[float]]) -> Numbers:
    """Return the number of values of each key."""
    return {key: float(len(each)) for key, each in values.items()}


def sums(values: Mapping[Key, Sequence[float]]) -> Numbers:
    """Return the sum of the values of each key."""
    return {key: sum(each) for key, each in values.items()}
