"""The order service of the tutorial refuses what its table cannot hold."""

import pytest
from pydantic import ValidationError

from examples.orders import Order


@pytest.mark.parametrize(
    ("product", "cents"),
    [("", 1), ("k" * 101, 1), ("kettle", 0), ("kettle", -5), ("kettle", 10**20)],
)
def test_an_order_that_cannot_be_stored_is_no_order(product: str, cents: int) -> None:
    with pytest.raises(ValidationError):
        Order(product=product, cents=cents)


@pytest.mark.parametrize("cents", [1, 200_000, 2**31 - 1])
def test_the_orders_of_the_tutorial_are(cents: int) -> None:
    assert cents == Order(product="kettle", cents=cents).cents
