"""What the shop sells, at which price in cents a piece."""

from collections.abc import Mapping
from typing import Final

PRICES: Final[Mapping[str, int]] = {
    "coffee-beans": 1290,
    "espresso-cup": 890,
    "filter-paper": 349,
    "hand-grinder": 5900,
    "kettle": 4450,
    "milk-jug": 1790,
}
