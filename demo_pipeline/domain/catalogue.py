"""The shop's products and their unit prices, in cents."""

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
