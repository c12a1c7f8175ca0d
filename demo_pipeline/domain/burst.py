"""A burst: for a while, orders come many times as fast as before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """A burst of orders. With fewer orders than it takes, all of its parts are shorter.

    Attributes:
        times: How many times as fast orders come meanwhile.
        after_s: When it begins, in seconds after the first order.
        lasts_s: How long it lasts, in seconds.
    """

    times: float
    after_s: float
    lasts_s: float

    def moments(self, orders: int, rate: float) -> Iterator[float]:
        """Generate when each order is placed, in seconds after the first one.

        Args:
            orders: Number of orders.
            rate: Orders per second before and after the burst.
        """
        quiet, loud = self.after_s * rate, self.lasts_s * self.times * rate
        # As much of the orders comes after the burst as before it.
        part = min(1.0, orders / (2 * quiet + loud))
        begins, ends = quiet * part, (quiet + loud) * part
        for number in range(orders):
            in_burst = max(0.0, min(number, ends) - begins)
            yield (number - in_burst + in_burst / self.times) / rate


def steady_moments(orders: int, rate: float) -> Iterator[float]:
    """Generate when each order is placed at a steady rate, in seconds after the first one."""
    return (number / rate for number in range(orders))
