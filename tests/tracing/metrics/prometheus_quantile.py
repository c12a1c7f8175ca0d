"""A quantile as Prometheus computes it from the buckets of a classic histogram."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def bucket_counts(bounds: Sequence[float], values: Iterable[float]) -> list[int]:
    """Count values; a bucket includes its upper bound."""
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    return counts


def histogram_quantile(share: float, bounds: Sequence[float], counts: Sequence[int]) -> float:
    """Interpolate linearly within the bucket of the quantile; the first one begins at 0.

    Beyond the last bound, the result is the last bound.
    """
    rank = share * sum(counts)
    below = 0
    for number, (bound, count) in enumerate(zip((*bounds, math.inf), counts, strict=True)):
        if below + count >= rank:
            if number == len(bounds):
                return bounds[-1]
            lower = bounds[number - 1] if number else 0.0
            return lower + (bound - lower) * (rank - below) / count
        below += count
    raise AssertionError("no values")
