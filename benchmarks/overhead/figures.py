"""Figures of the measured costs: medians, and ratios with their spread over the rounds."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.overhead.flat_path import FlatPath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.overhead.measure import Cost
    from benchmarks.overhead.rows import Row, Variant
    from benchmarks.overhead.turns import Costs


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The distribution of a value over the rounds.

    Attributes:
        low: The first quartile.
        high: The third quartile.
        rounds: How many rounds there are; those whose value means nothing are left out.
    """

    median: float
    low: float
    high: float
    rounds: int


def spread(values: Iterable[float]) -> Spread | None:
    """Return the distribution of values; `None` without any."""
    ordered = sorted(values)
    if not ordered:
        return None
    low, high = ordered[0], ordered[-1]
    if len(ordered) > 2:  # noqa: PLR2004 - fewer have no quartiles
        low, _, high = statistics.quantiles(ordered, n=4, method="inclusive")
    return Spread(median=statistics.median(ordered), low=low, high=high, rounds=len(ordered))


def added(costs: Costs, variant: Variant) -> list[float]:
    """Return what a variant adds to the bare client in each round, in CPU µs per message."""
    return _each(costs, variant, variant.bare, lambda with_, bare: with_.cpu_us - bare.cpu_us)


def added_in(costs: Costs, variant: Variant, phase: str) -> list[float]:
    """Return what a variant adds in one phase, such as `send`, in each round."""
    return _each(
        costs,
        variant,
        variant.bare,
        lambda with_, bare: with_.phases[phase].cpu_us - bare.phases[phase].cpu_us,
    )


def ratio(costs: Costs, ours: Variant, theirs: Variant) -> Spread | None:
    """Divide what ours adds by what theirs adds, round by round.

    A round in which theirs added nothing was disturbed, and has no ratio.
    """
    pairs = zip(added(costs, ours), added(costs, theirs), strict=True)
    return spread(mine / their for mine, their in pairs if their > 0)


def throughput(costs: Costs, variant: Variant) -> Spread | None:
    """Divide a variant's messages per second by those of the bare client, round by round."""
    return spread(_each(costs, variant, variant.bare, lambda with_, bare: with_.rate / bare.rate))


def _each(
    costs: Costs, first: Variant, second: Variant, value: Callable[[Cost, Cost], float]
) -> list[float]:
    return [value(*pair) for pair in zip(costs[first], costs[second], strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Ours beside another instrumentation.

    Attributes:
        name: The other instrumentation.
        added_us: What the other adds to its bare client, in CPU µs per message.
        ratio: What ours adds, divided by that.
    """

    name: str
    added_us: Spread | None
    ratio: Spread | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The figures of one row; CPU µs per message.

    Attributes:
        bare_us: The bare client.
        ours_us: What ours adds to it.
        phases_us: What ours adds, by phase: `send`, `receive` or `forward`.
        flat_off_us: What ours adds with the flat path off; `None` where not measured.
        compared: The official instrumentation first, then others.
        throughput: Messages per second with ours, as a share of the bare client's.
        flat: How many messages took the flat path in all rounds; `None` without one.
    """

    row: Row
    bare_us: Spread | None
    ours_us: Spread | None
    phases_us: dict[str, Spread | None]
    flat_off_us: Spread | None
    compared: tuple[Compared, ...]
    throughput: Spread | None
    flat: FlatPath | None

    @property
    def held(self) -> bool | None:
        """Whether the row's goal is met; `None` without a goal or a ratio."""
        ratio_of_official = self.compared[0].ratio
        if self.row.goal is None or ratio_of_official is None:
            return None
        # Goals have two decimals, and so have the ratios that are shown.
        return round(ratio_of_official.median, 2) <= self.row.goal


def result_of(row: Row, costs: Costs) -> Result:
    """Return the figures of one row; what was not measured is left out."""
    ours = row.variant("ours")
    others = [variant for variant in row_variants(row, costs) if variant.instrumentation != "ours"]
    flat_off = row.variant("ours", flat=False)
    return Result(
        row=row,
        bare_us=spread(cost.cpu_us for cost in costs[ours.bare]),
        ours_us=spread(added(costs, ours)),
        phases_us={phase: spread(added_in(costs, ours, phase)) for phase in costs[ours][0].phases},
        flat_off_us=spread(added(costs, flat_off)) if row.flat_off and flat_off in costs else None,
        compared=tuple(
            Compared(
                name=name_of(other),
                added_us=spread(added(costs, other)),
                ratio=ratio(costs, ours, other),
            )
            for other in others
        ),
        throughput=throughput(costs, ours),
        flat=total(cost.flat for cost in costs[ours]),
    )


def row_variants(row: Row, costs: Costs) -> list[Variant]:
    """Return the instrumented variants of a row that were measured, the official one first."""
    return [
        variant
        for variant in row.variants(("faststream", "confluent"))
        if variant.instrumentation != "none" and variant in costs
    ]


def name_of(variant: Variant) -> str:
    """Return what a table calls an instrumentation."""
    if variant.client == "faststream":
        return "FastStream"
    if variant.client == "confluent":
        return "official, confluent-kafka"
    return variant.instrumentation


def total(counts: Iterable[FlatPath | None]) -> FlatPath | None:
    """Add numbers of messages up; `None` if there are none."""
    counted = [count for count in counts if count is not None]
    if not counted:
        return None
    return FlatPath(
        taken=_sums(count.taken for count in counted),
        fallbacks=_sums(count.fallbacks for count in counted),
    )


def _sums(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for count in counts:
        for name, number in count.items():
            sums[name] = sums.get(name, 0) + number
    return sums


def shares(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    """Split the cost that ours adds, all sampled, by its cause; CPU µs per message, by phase.

    Empty unless the rows `sampled`, `unsampled` and `no-metrics` are there.
    """
    by_name = {result.row.name: result.phases_us for result in results}
    try:
        whole, unsampled = by_name["sampled"], by_name["unsampled"]
        no_metrics = by_name["no-metrics"]
    except KeyError:
        return {}
    parts: dict[str, dict[str, float]] = {"spans": {}, "metrics": {}, "context and headers": {}}
    for phase, spent in whole.items():
        rest, unmeasured = unsampled[phase], no_metrics[phase]
        if spent is None or rest is None or unmeasured is None:
            return {}
        metrics = spent.median - unmeasured.median
        parts["metrics"][phase] = metrics
        parts["spans"][phase] = spent.median - rest.median
        parts["context and headers"][phase] = rest.median - metrics
    return parts
